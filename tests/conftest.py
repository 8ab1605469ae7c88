"""One thread per test process: at these sizes threads only wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("isobyte", deadline=None)
settings.load_profile("isobyte")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU where there is none."""
    needy = [item for item in items if item.get_closest_marker("gpu")]
    if needy:
        import torch

        if not torch.cuda.is_available():
            config.hook.pytest_deselected(items=needy)
            items[:] = [item for item in items if item not in needy]
