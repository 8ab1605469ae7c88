"""A likelihood: nats over known bytes, how it was had, and how sure it is."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["exact", "bound", "surrogate"]


@dataclass(frozen=True)
class Likelihood:
    """Total nats over `bytes` raw bytes.

    `stderr` is the estimator's own standard error in BPB (0 when exact): how far another seed would land on
    the same text; it has one degree of freedom per window, so over a few windows it is only a hint. `stderr_text`
    is that of the text's sampling: how far other windows of the same source would land; None for one window.
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

    @property
    def bpb(self) -> float:
        return self.nats / math.log(2) / self.bytes

    def to_json(self) -> dict[str, Any]:
        return {"bpb": self.bpb, **asdict(self)}
