"""The first losses of a tiny run per objective and backbone: changed initialisation, noise, loss or optimiser shows.

    python tests/golden/golden_run.py

writes `losses/<objective>.txt` anew. Do so only in a change that is meant to alter training, and say why in LOG.md.
"""

from pathlib import Path

import torch

from isobyte.config.run import RunConfig
from isobyte.objective.network import build_network, initialise
from isobyte.random import generator
from isobyte.train.optim import build_optimizer
from isobyte.train.parallel import Ranks
from isobyte.train.step import train_step

LOSSES = Path(__file__).parent / "losses"
OBJECTIVES = {
    "ar": {"kind": "ar"},
    "masked": {"kind": "masked"},
    "masked-cosine-time": {
        "kind": "masked",
        "schedule": {"kind": "cosine"},
        "time_conditioning": True,
        "random_length": 0.3,
    },
    "span": {"kind": "span", "spans": {"kind": "geometric", "mean": 3}},
    "block": {"kind": "block", "block": 5, "clip": [0.3, 0.8]},
    "any_order": {"kind": "any_order"},
    "eso": {"kind": "eso", "alpha0": 0.5},
    "eso-uncached": {"kind": "eso", "alpha0": 0.25, "cached": False},
    "digits-marginal": {"kind": "digits", "digits": 2, "merge": "cat"},
    "digits-joint": {"kind": "digits", "loss": "joint", "chunk": 0.5, "consistent": False},
    "blt": {"kind": "ar"},
    "blt-d": {"kind": "blt_diffusion", "block": 3, "lambda_mask": 0.7, "t_min": 0.1},
    "patch-masked": {"kind": "patch_masked"},
    "patch-ar": {"kind": "patch_ar"},
}
LOCAL = {"layers": 1, "width": 16, "heads": 2, "attention_window": 8}
BLT = {
    "kind": "blt", "encoder": LOCAL, "decoder": LOCAL, "latent": {"layers": 2, "width": 32, "heads": 4},
    "hash_vocab": 50, "hash_sizes": [2, 3], "patching": {"kind": "space", "max_length": 6},
}  # fmt: skip

WHOLE = BLT | {"hash_sizes": []}


def golden_config(objective: str) -> RunConfig:
    flat = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "tied": objective == "masked"}
    return RunConfig.model_validate(
        {
            "representation": {"kind": "bytes"},
            "objective": OBJECTIVES[objective],
            "backbone": {"blt": BLT, "blt-d": BLT, "patch-masked": WHOLE, "patch-ar": WHOLE}.get(objective, flat),
            "data": {},
            "train": {"window": 24, "batch": 8, "steps": 12, "optimizer": {"lr": 0.02}, "micro_batch": 4, "seed": 5},
        }
    )


def golden_losses(objective: str) -> list[float]:
    """Nats per symbol of each step on symbols that repeat within their window, of all that is trained."""
    config = golden_config(objective)
    train = config.train
    model = build_network(config.backbone, config.objective, 256)
    initialise(model, train.seed)
    optimizer = build_optimizer(model, train.optimizer)
    losses = []
    for step in range(train.steps):
        draw = generator(train.seed, "golden", step)
        batch = draw.integers(0, 256, (train.batch, 6)).repeat(4, axis=1)[:, : train.window]
        outcome = train_step(config, model, model, optimizer, batch, step, Ranks())
        losses.append(outcome.loss.item() + (0.0 if outcome.beside is None else outcome.beside.item()))
    return losses


def main() -> None:
    torch.set_num_threads(1)
    LOSSES.mkdir(exist_ok=True)
    for objective in OBJECTIVES:
        text = "".join(f"{loss:.8f}\n" for loss in golden_losses(objective))
        (LOSSES / f"{objective}.txt").write_text(text)


if __name__ == "__main__":
    main()
