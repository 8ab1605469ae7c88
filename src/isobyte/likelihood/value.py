"""A likelihood: nats over known bytes, how it was had, and how sure it is."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from isobyte.config.permutation import TEXT

Kind = Literal["exact", "bound", "surrogate", "score"]
"""`surrogate`: what some training minimises. `score`: a cost that leaves something unpaid. Neither is a likelihood."""

LIKELIHOODS = ("exact", "bound")


def of_source(source: str) -> str:
    """What a number must not be shown without."""
    return "" if source == TEXT else f" of the text shuffled by {source!r}"


@dataclass(frozen=True)
class Likelihood:
    """Total nats over `bytes` raw bytes.

    `stderr` is the estimator's own standard error in BPB (0 when exact): how far another seed would land on
    the same text; it has one degree of freedom per window, so over a few windows it is only a hint. `stderr_text`
    is that of the text's sampling: how far other windows of the same source would land; None for one window.
    What is of kind `surrogate` or `score` has no BPB; its errors are in the units of its value.
    """

    nats: float
    bytes: int
    symbols: int
    windows: int
    kind: Kind
    estimator: str
    stderr: float
    stderr_text: float | None
    nfe: int
    """Network passes over a window, summed over windows."""
    seed: int | None = None
    nats_by_part: tuple[float, ...] | None = None
    """Nats of equal parts of the text, in order."""
    source: str = TEXT
    """What it is a likelihood of: the text, or what a shuffle that cannot be undone has left of it."""

    @property
    def is_likelihood(self) -> bool:
        return self.kind in LIKELIHOODS

    @property
    def value_bits_per_byte(self) -> float:
        """The number, whatever its kind."""
        return self.nats / math.log(2) / self.bytes

    @property
    def bpb(self) -> float:
        """Raises ValueError for what is no likelihood."""
        if not self.is_likelihood:
            raise ValueError(f"a {self.kind} is no likelihood and has no BPB")
        return self.value_bits_per_byte

    @property
    def label(self) -> str:
        """`BPB`, or for what is none its kind and name: `surrogate/joint_ce`."""
        return ("BPB" if self.is_likelihood else f"{self.kind}/{self.estimator}") + of_source(self.source)

    def to_json(self) -> dict[str, Any]:
        parts = None if self.nats_by_part is None else list(self.nats_by_part)
        key = "bpb" if self.is_likelihood else "value_bits_per_byte"
        return {key: self.value_bits_per_byte, **asdict(self), "nats_by_part": parts}
