"""A mean over windows, and how sure it is."""

from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import ArrayLike

from isobyte.likelihood.ratio import ratio_of


@dataclass(frozen=True)
class Measured:
    """`value` is None where there was nothing to measure, `stderr` where fewer than two windows were at hand."""

    value: float | None
    stderr: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def ratio(sums_N: ArrayLike, counts_N: ArrayLike) -> Measured:
    """The sum of all windows' sums over that of their counts."""
    return Measured(*ratio_of(sums_N, counts_N))
