"""Threads for loops that Numba compiles, and word of it when it does."""

import importlib
import logging
from collections.abc import Callable
from typing import Any

import torch
from numba import njit, set_num_threads
from numba.core import config, event


def _threads() -> bool:
    """Whether the pool of threads is one that starts work in microseconds (that of OpenMP; Numba's own takes 100)."""
    try:
        importlib.import_module("numba.np.ufunc.omppool")
    except ImportError:
        return False
    config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]  # pyright: ignore[reportAttributeAccessIssue]
    return True


THREADED = _threads()


def use_threads() -> None:
    """As many as PyTorch uses."""
    if THREADED:
        wanted, most = torch.get_num_threads(), config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue]
        set_num_threads(min(wanted, most))
        # the first time that starts a pool, which takes all cores for whatever shares the library, PyTorch too
        torch.set_num_threads(wanted)


def kept(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compiled, and kept on disk if there is a place for it."""
    try:
        return njit(cache=True, error_model="numpy", **options)(function)
    except RuntimeError:  # neither the folder of this file nor one of the user's can be written to
        return njit(error_model="numpy", **options)(function)


def threaded(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `kept`, its `prange` divided among threads; under a name of its own where there are none."""
    if not THREADED:
        function.__qualname__ += "_alone"
    return kept(function, parallel=THREADED)


class _Notice(event.Listener):
    """Says once that there is something to wait for: what is not on disk yet."""

    def on_start(self, event: event.Event) -> None:
        function = (event.data or {})["dispatcher"].py_func
        if not _told and function.__module__.startswith("isobyte."):
            _told.append(function.__name__)
            logging.getLogger(__name__).warning("compiling loops for this processor, once: some 15 seconds")

    def on_end(self, event: event.Event) -> None:
        del event


_told: list[str] = []
event.register("numba:compile", _Notice())


use_threads()
