"""One thread per test process: at these sizes threads only wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
