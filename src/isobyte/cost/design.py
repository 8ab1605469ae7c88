"""What one run costs: the one place that turns a run's config into parameters and FLOPs."""

from dataclasses import dataclass

from isobyte.config.run import RunConfig
from isobyte.cost.conventions import CONVENTIONS
from isobyte.cost.flops import Flops, flat_flops
from isobyte.cost.memory import Memory, flat_memory
from isobyte.cost.parameters import Parameters, flat_parameters


@dataclass(frozen=True)
class Cost:
    """Parameters, forward FLOPs of a window and training FLOPs of a step."""

    parameters: Parameters
    flops: Flops
    window: int
    batch: int
    memory: Memory
    conventions: dict[str, float]
    """Training FLOPs per symbol by rule."""

    @property
    def per_step(self) -> float:
        return self.flops.training * self.batch

    @property
    def per_symbol(self) -> float:
        return self.flops.training / self.window


def run_cost(config: RunConfig, *, vocab: int | None = None) -> Cost:
    """Cost of a run; `vocab` is the representation's measured alphabet where the config leaves it open."""
    vocab = vocab or config.representation.vocab_size
    assert vocab is not None
    shape, train = config.backbone, config.train
    parameters = flat_parameters(shape, config.objective, vocab=vocab)
    return Cost(
        parameters=parameters,
        flops=flat_flops(shape, config.objective, vocab=vocab, window=train.window),
        window=train.window,
        batch=train.batch,
        memory=flat_memory(
            shape, parameters, vocab=vocab, window=train.window, micro_batch=train.micro_batch or train.batch
        ),
        conventions={name: rule(shape, config.objective, vocab, train.window) for name, rule in CONVENTIONS.items()},
    )
