"""What runs on one prepared text make once for all of them, kept beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isobyte.data.prepared import Prepared
from isobyte.train.folder import SCORERS


def shared_folder(prepared: Prepared) -> Path:
    """Scorers, tables, thresholds, and who waits for whom."""
    return prepared.folder / SCORERS


@contextmanager
def alone(prepared: Prepared, name: str) -> Iterator[None]:
    """Processes that want the same of a prepared folder take turns; the second finds the work done."""
    import fcntl  # not on Windows, where everything else of training runs

    shared_folder(prepared).mkdir(exist_ok=True)
    with (shared_folder(prepared) / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
