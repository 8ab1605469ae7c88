"""What one run costs: the one place that turns a run's config into parameters and FLOPs."""

from dataclasses import dataclass

from isobyte.config.backbone import BltConfig
from isobyte.config.objective import PatchwiseConfig
from isobyte.config.run import RunConfig
from isobyte.cost.blt import block_size
from isobyte.cost.conventions import CONVENTIONS
from isobyte.cost.flops import Flops
from isobyte.cost.memory import Memory, network_memory
from isobyte.cost.network import (
    Patches,
    expected_row,
    network_flops,
    network_parameters,
    shown_bytes,
    window_patches,
)
from isobyte.cost.parameters import Parameters


@dataclass(frozen=True)
class Cost:
    """Parameters, forward FLOPs of a window and training FLOPs of a step."""

    parameters: Parameters
    flops: Flops
    window: int
    """Symbols; of rows of patches as many as are to be expected."""
    batch: int
    patches: Patches | None
    """Of a window, where the backbone makes any."""
    bytes_per_patch: float | None
    memory: Memory
    conventions: dict[str, float]
    """Training FLOPs per symbol by rule."""

    @property
    def per_step(self) -> float:
        return self.flops.training * self.batch

    @property
    def per_symbol(self) -> float:
        return self.flops.training / self.window


def run_cost(
    config: RunConfig, *, vocab: int | None = None, patches: Patches | None = None, window: int | None = None
) -> Cost:
    """Cost of a run; `vocab` is the representation's measured alphabet where the config leaves it open, `patches` those
    of its windows where they are known, with rows of patches beside the symbols that a row has: `window`."""
    vocab = vocab or config.representation.vocab_size
    assert vocab is not None
    backbone, objective, train = config.backbone, config.objective, config.train
    if window is None or patches is None:
        window, patches = _expected(config, patches)
    parameters = network_parameters(backbone, objective, vocab=vocab)
    rows = train.micro_batch or train.batch
    return Cost(
        parameters=parameters,
        flops=network_flops(backbone, objective, vocab=vocab, window=window, patches=patches),
        window=window,
        batch=train.batch,
        patches=patches,
        bytes_per_patch=None if patches is None else bytes_per_patch(config, window, patches.count),
        memory=network_memory(
            backbone,
            parameters,
            vocab=vocab,
            window=train.window,
            micro_batch=rows,
            patches=patches,
            block=block_size(objective) or isinstance(objective, PatchwiseConfig),  # one for each first byte
        ),
        conventions={name: rule(backbone, objective, vocab, window, patches) for name, rule in CONVENTIONS.items()},
    )


def _expected(config: RunConfig, patches: Patches | None) -> tuple[int, Patches | None]:
    """Symbols of a window, and its patches."""
    backbone, train = config.backbone, config.train
    if not isinstance(backbone, BltConfig):
        return train.window, None
    if train.patches is not None:
        length, expected = expected_row(backbone.patching, train.patches, train.window)
        return length, patches or expected
    return train.window, patches or window_patches(config.objective, backbone.patching, train.window)


def bytes_per_patch(config: RunConfig, symbols: float, patches: float, windows: int = 1) -> float:
    """Of windows with `symbols` bytes to predict and `patches` latents in all. A row of patches predicts as many whole
    ones; of a window of bytes the patches hold those shown, and BOS, a patch of its own, is no byte."""
    if config.train.packing == "patches":
        return symbols / patches
    unseen = windows * (1 - shown_bytes(config.objective, 0))
    return (symbols - unseen) / max(1, patches - windows)
