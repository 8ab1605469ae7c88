"""Where and how a run executes: nothing here is part of its identity."""

import ctypes
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import isobyte


@dataclass(frozen=True)
class Runtime:
    """Device, threads and the bookkeeping of one process."""

    device: str = "auto"
    threads: int | None = None
    compile: bool | None = None
    """None compiles on CUDA only."""
    checkpoint_seconds: float = 60.0
    log_every: int = 10
    attention: str = "sdpa"

    def resolve_device(self) -> torch.device:
        if self.device != "auto":
            return torch.device(self.device)
        return (
            torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
            if torch.cuda.is_available()
            else torch.device("cpu")
        )

    def compiles(self, device: torch.device) -> bool:
        return device.type == "cuda" if self.compile is None else self.compile

    def apply(self) -> torch.device:
        """Set threads and the allocator for this process and name its device."""
        if self.threads:
            torch.set_num_threads(self.threads)
        keep_freed_memory()
        return self.resolve_device()


def keep_freed_memory() -> None:
    """Have glibc keep freed buffers: by default it gives large ones back, and every step faults them in anew."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_threshold, most, most_before_glibc_2_35 = -1, -3, 1 << 30, 1 << 25
        mallopt(mmap_threshold, most_before_glibc_2_35)
        mallopt(mmap_threshold, most)
        mallopt(trim_threshold, most)


def environment(device: torch.device) -> dict[str, Any]:
    """What a result may depend on beside its config."""
    return {
        "isobyte": isobyte.__version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
    }


def _cpu_name() -> str:
    try:
        with Path("/proc/cpuinfo").open() as info:
            return next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
