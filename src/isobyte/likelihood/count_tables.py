"""Tables of counts that codes are made of, in files of their own."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from isobyte.errors import UserError
from isobyte.files import write_atomic


def save_counts(path: Path, name: str, counts: Tensor) -> None:
    """One table, under its name."""
    write_atomic(path, save({name: counts}))


def load_counts(path: Path, name: str, what: str, fits: Callable[[Tensor], bool]) -> Tensor:
    """The table, int64 and of a shape that `fits`. Raises UserError for a file that is missing, damaged or no such."""
    try:
        with safe_open(path, "pt") as file:
            counts = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot be read ({error})", where=str(path), how="train the run again") from None
    if counts.dtype != torch.int64 or not fits(counts) or bool((counts < 0).any()):
        raise UserError(f"is no {what}", where=str(path), how="train the run again")
    return counts
