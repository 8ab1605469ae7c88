"""Checkpoints: one safetensors file each, weights and optimiser state together, so none is ever half there."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from isobyte.errors import UserError
from isobyte.files import write_atomic
from isobyte.train.optim import flat_parameters

KEEP = 2


def save_checkpoint(
    folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write `step-<step>.safetensors` with `state` (JSON) in its header, then drop all but the last two."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in flat_parameters(optimizer):
        moments = optimizer.state.get(parameter, {})
        tensors |= {f"optimizer.{key}.{name}": value for key, value in moments.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(folder / f"step-{step:09d}.safetensors", save(tensors, {"state": json.dumps(state | {"step": step})}))
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEEP]:
        old.unlink()


def load_latest(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Restore the newest readable checkpoint into model and optimiser; its state, or None when there is none."""
    paths = sorted(folder.glob("step-*.safetensors"), reverse=True)
    for path in paths:
        try:
            return _restore(path, model, optimizer)
        except SafetensorError:
            continue
    if paths:
        raise UserError("no checkpoint is readable", where=str(folder), how="delete the folder to start the run again")
    return None


def _restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        state = json.loads(file.metadata()["state"])
    model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    for name, parameter in flat_parameters(optimizer):
        moments = {
            key: tensors[f"optimizer.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
            if f"optimizer.{key}.{name}" in tensors
        }  # fmt: skip
        if moments:
            optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in moments.items()}
    return state


def save_weights(path: Path, model: nn.Module, metadata: dict[str, str]) -> None:
    """The trained weights alone."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_atomic(path, save(tensors, metadata))


def load_weights(path: Path, model: nn.Module) -> None:
    """Fill `model` from `path`. Raises UserError for a missing, damaged or misshapen file, naming the tensors."""
    if not path.exists():
        raise UserError("has no weights yet", where=str(path), how="finish the run first: run `isobyte train` again")
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise UserError(f"is damaged ({error})", where=str(path), how="train the run again") from None
    wanted = model.state_dict()
    wrong = sorted(set(wanted) ^ set(tensors)) + [
        n for n in wanted if n in tensors and wanted[n].shape != tensors[n].shape
    ]
    if wrong:
        raise UserError(f"does not fit its config: {', '.join(wrong)}", where=str(path), how="train the run again")
    model.load_state_dict(tensors)
