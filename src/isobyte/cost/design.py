"""What one run costs: the one place that turns a run's config into parameters and FLOPs."""

from dataclasses import dataclass

from isobyte.config.backbone import BltConfig
from isobyte.config.run import RunConfig
from isobyte.cost.conventions import CONVENTIONS
from isobyte.cost.flops import Flops
from isobyte.cost.memory import Memory, network_memory
from isobyte.cost.network import Patches, expected_patches, network_flops, network_parameters
from isobyte.cost.parameters import Parameters


@dataclass(frozen=True)
class Cost:
    """Parameters, forward FLOPs of a window and training FLOPs of a step."""

    parameters: Parameters
    flops: Flops
    window: int
    batch: int
    patches: Patches | None
    """Of a window, where the backbone makes any."""
    memory: Memory
    conventions: dict[str, float]
    """Training FLOPs per symbol by rule."""

    @property
    def bytes_per_patch(self) -> float | None:
        """Of a window's bytes; BOS, a patch of its own, is none."""
        if self.patches is None:
            return None
        return (self.window - 1) / max(1.0, self.patches.count - 1)

    @property
    def per_step(self) -> float:
        return self.flops.training * self.batch

    @property
    def per_symbol(self) -> float:
        return self.flops.training / self.window


def run_cost(config: RunConfig, *, vocab: int | None = None, patches: Patches | None = None) -> Cost:
    """Cost of a run; `vocab` is the representation's measured alphabet where the config leaves it open, `patches` those
    of its windows where they are known."""
    vocab = vocab or config.representation.vocab_size
    assert vocab is not None
    backbone, objective, train = config.backbone, config.objective, config.train
    if patches is None and isinstance(backbone, BltConfig):
        patches = expected_patches(backbone.patching, train.window)
    parameters = network_parameters(backbone, objective, vocab=vocab)
    rows = train.micro_batch or train.batch
    return Cost(
        parameters=parameters,
        flops=network_flops(backbone, objective, vocab=vocab, window=train.window, patches=patches),
        window=train.window,
        batch=train.batch,
        patches=patches,
        memory=network_memory(
            backbone, parameters, vocab=vocab, window=train.window, micro_batch=rows, patches=patches
        ),
        conventions={
            name: rule(backbone, objective, vocab, train.window, patches) for name, rule in CONVENTIONS.items()
        },
    )
