"""One thread per test process: at these sizes threads only wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings  # noqa: E402 - after the environment is set

settings.register_profile("isobyte", deadline=None)
settings.load_profile("isobyte")
