"""The files of a checkpoint: safetensors and JSON. Pickles are never opened."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from isobyte.errors import UserError
from isobyte.files import read_json

_INDEX = "model.safetensors.index.json"
_PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl")


def read_tensors(folder: Path) -> tuple[dict[str, Tensor], list[Path]]:
    """All tensors of the folder's safetensors files, and those files. Raises UserError where there are none, where
    one is damaged, and for pickles, which could run anything."""
    index = folder / _INDEX
    if index.exists():
        files = [folder / name for name in sorted(set(read_object(folder, _INDEX).get("weight_map", {}).values()))]
    else:
        files = [f for name in ("model", "consolidated") if (f := folder / f"{name}.safetensors").exists()][:1]
        files = files or sorted(folder.glob("*.safetensors"))
    if len(files) == 1 or (files and index.exists()):
        theirs: dict[str, Tensor] = {}
        for file in files:
            more = read_file(file)
            if twice := sorted(theirs.keys() & more.keys()):
                raise UserError(f"has again what another file has: {', '.join(twice)}", where=str(file))
            theirs |= more
        return theirs, files
    if files:
        raise UserError(f"holds {len(files)} safetensors files and no {_INDEX}", where=str(folder), how="leave one")
    pickled = sorted(f.name for f in folder.glob("*") if f.suffix in _PICKLES)
    if pickled:
        raise UserError(
            f"holds pickles, which could run anything when they are opened: {', '.join(pickled)}",
            where=str(folder),
            how="where you trust them, write their tensors as model.safetensors with safetensors.torch.save_file",
        )
    raise UserError("holds no weights (model.safetensors)", where=str(folder), how="name a checkpoint's folder")


def read_file(file: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises UserError where it is missing or damaged."""
    if not file.exists():
        raise UserError("is missing", where=str(file), how="fetch the checkpoint again")
    try:
        with safe_open(file, "pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as problem:
        raise UserError(f"is damaged ({problem})", where=str(file), how="fetch the checkpoint again") from None


def read_object(folder: Path, *names: str) -> dict[str, Any]:
    """The JSON object in the first of these files that is there. Raises UserError where none is."""
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        raise UserError(f"has no {' or '.join(names)}", where=str(folder), how="name a checkpoint's folder")
    try:
        value = read_json(found[0])
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise UserError(f"is no JSON ({problem})", where=str(found[0]), how="fetch the checkpoint again") from None
    if not isinstance(value, dict):
        raise UserError("is no JSON object", where=str(found[0]), how="fetch the checkpoint again")
    return value


def digest(files: list[Path]) -> str:
    """16 hex digits that tell what is in these files."""
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()[:16]
