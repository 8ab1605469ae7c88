"""What a chart shows, whoever draws it: the page (plotly) and the pictures (matplotlib) share these."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from isobyte.study import words

Values = Sequence[float | None]


@dataclass(frozen=True)
class Line:
    x: Values
    y: Values
    colour: str
    dashed: bool = False
    width: float = 2.0


@dataclass(frozen=True)
class Points:
    """Markers; `hover` is one text per point, with `<br>` between lines; pictures write `names`
    above the points, or `below`."""

    x: Values
    y: Values
    colour: str
    symbol: str = "circle"
    size: float = 6.0
    filled: bool = True
    hover: Sequence[str] = ()
    names: Sequence[str] = ()
    below: bool = False


@dataclass(frozen=True)
class Band:
    """The area between `low` and `high`: an interval."""

    x: Values
    low: Values
    high: Values
    colour: str
    alpha: float = 0.16


@dataclass(frozen=True)
class Level:
    """A horizontal line with its name on it, at the right end or `place` steps to the left of it."""

    y: float
    label: str
    place: int = 0

    @property
    def share(self) -> float:
        """Where the name ends, as a share of the width."""
        return 1.0 - 0.27 * self.place


Mark = Line | Points | Band | Level


@dataclass(frozen=True)
class Axis:
    label: str
    low: float
    high: float
    log: bool = False
    names: tuple[tuple[float, str], ...] = ()
    """Labels that are not the values, for what is evenly spread."""

    def ticks(self) -> list[tuple[float, str]]:
        """Where the labels stand, and what they say."""
        if self.names:
            return list(self.names)
        return log_ticks(self.low, self.high) if self.log else linear_ticks(self.low, self.high)


@dataclass(frozen=True)
class Chart:
    """One pair of axes. `alt` says in words what is to be seen, `note` stands below."""

    title: str
    x: Axis
    y: Axis
    marks: list[Mark]
    alt: str
    colour: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    label: str
    colour: str
    symbol: str | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Figure:
    """Charts that belong together, `columns` abreast, under one legend."""

    name: str
    title: str
    charts: list[Chart]
    keys: list[Key] = field(default_factory=list)
    columns: int = 2


def extent(values: Iterable[float | None], *, log: bool = False, pad: float = 0.06) -> tuple[float, float] | None:
    """Least and greatest of the finite values, with room around them; None if there are none."""
    known = [v for v in values if v is not None and math.isfinite(v) and (v > 0 or not log)]
    if not known:
        return None
    low, high = min(known), max(known)
    if log:
        room = (high / low) ** pad if high > low else 1.5
        return low / room, high * room
    room = pad * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Powers of ten; with 3 or 2 and 5 between them on short axes; plain steps on very short ones."""
    decades = math.log10(high / low)
    if decades < 0.5:
        return [(value, words.compact(value)) for value, _ in linear_ticks(low, high)]
    steps = (1, 2, 5) if decades < 1.2 else (1, 3) if decades < 2.6 else (1,)
    stride = 1 if decades < 7 else math.ceil(decades / 6)
    found = []
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        if exponent % stride:
            continue
        values = [step * 10.0**exponent for step in steps]
        found += [(value, _log_label(value)) for value in values if low <= value <= high]
    return found


def _log_label(value: float) -> str:
    return f"{value:g}" if 0.01 <= value < 1000 else words.compact(value)


def linear_ticks(low: float, high: float, target: int = 8) -> list[tuple[float, str]]:
    """Round steps of 1, 2 or 5 times a power of ten, about `target` of them."""
    raw = (high - low) / target
    base = 10.0 ** math.floor(math.log10(raw))
    step = next((m * base for m in (1, 2, 5) if m * base >= raw), 10 * base)
    places = max(0, -math.floor(math.log10(step)))
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [((first + k) * step, f"{(first + k) * step:.{places}f}") for k in range(count)]


def closed(band: Band, axis: Axis) -> tuple[list[float], list[float], list[float]]:
    """(x, low, high) of a band, unbounded ends cut off well outside the axis, points without a low end left out."""
    reach = (axis.low / 100, axis.high * 100) if axis.log else (axis.low - 1e3, axis.high + 1e3)
    cut = [
        (x, max(low, reach[0]), min(reach[1] if high is None else high, reach[1]))
        for x, low, high in zip(band.x, band.low, band.high, strict=True)
        if x is not None and low is not None and low < reach[1]
    ]
    return [c[0] for c in cut], [c[1] for c in cut], [c[2] for c in cut]
