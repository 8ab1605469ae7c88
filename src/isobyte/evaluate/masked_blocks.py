"""How well a finished run fills masked blocks of any text."""

from pathlib import Path

from isobyte.backbone.blt.model import BltModel
from isobyte.config.objective import BltDiffusionConfig
from isobyte.errors import UserError
from isobyte.evaluate.bpb import held_out_text
from isobyte.evaluate.loaded import load_run
from isobyte.train.masked_blocks import WINDOWS, MaskedBlocks, masked_blocks


def run_masked_blocks(
    path: Path,
    *,
    data: Path | None,
    column: str = "text",
    max_bytes: int | None = None,
    seed: int | None = None,
    device: str = "auto",
) -> MaskedBlocks:
    """Of blocks of `data`, or of the run's held-out text when None, in as many of the run's windows as `max_bytes` has
    room for. Raises UserError for a run without blocks and for text that is missing or too short."""
    run = load_run(path, device)
    objective, window = run.config.objective, run.config.train.window
    if not isinstance(objective, BltDiffusionConfig):
        raise UserError("was trained without blocks", where=str(path), how="name a run of objective blt_diffusion")
    assert isinstance(run.model, BltModel)
    text = held_out_text(path, run, data, column)
    windows = WINDOWS if max_bytes is None else max(1, max_bytes // window)
    seed = run.config.evaluate.seed if seed is None else seed
    found = masked_blocks(run.model, text, window, objective.block, seed, windows=windows)
    if found is None:
        raise UserError(
            f"windows of {min(len(text), window)} bytes have no room for a block of {objective.block}",
            where=str(data or path), how="give a longer text",
        )  # fmt: skip
    return found
