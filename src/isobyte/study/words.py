"""Numbers and names as a reader wants them: the same everywhere in a report."""

import math
from typing import Any

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
UNKNOWN = "–"

Number = float | int | None


def scientific(value: Number, digits: int = 3) -> str:
    """`2.35×10¹²`, with `digits` significant digits: for FLOPs, parameters and bytes."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.replace('-', '−')}×{power_of_ten(int(exponent))}"


def power_of_ten(exponent: int) -> str:
    """`10¹²`."""
    return "10" + str(exponent).translate(SUPERSCRIPT)


def compact(value: Number) -> str:
    """`10¹²`, `2×10¹²` or `2.15×10¹²`: scientific, without digits that say nothing."""
    text = scientific(value)
    head, times, tail = text.partition("×")
    if not times:
        return text
    head = head.rstrip("0").rstrip(".")
    return tail if head == "1" else f"{head}×{tail}"


def significant(value: Number, digits: int = 3) -> str:
    """`2.31`, `0.0612`, `1,240`; scientific from a million on and below a thousandth."""
    if value is None or math.isnan(value) or math.isinf(value) or value == 0:
        return scientific(value)
    value = float(f"{value:.{digits}g}")
    if not 1e-3 <= abs(value) < 1e6:
        return scientific(value, digits)
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".replace("-", "−")


def bpb(value: Number) -> str:
    """Bits per byte to a thousandth."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:.3f}"


def times(value: Number) -> str:
    """A ratio of computes: `2.31×`, or `4.35×10⁶ times`."""
    if value is None or not math.isfinite(value):
        return scientific(value)
    text = significant(value)
    return f"{text} times" if "×" in text else f"{text}×"


def span(low: Number, high: Number, form=significant) -> str:
    """An interval: `[1.87, 2.90]`."""
    return f"[{form(low)}, {form(high)}]"


def count(number: int, noun: str) -> str:
    """`1 run`, `3 runs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: Number) -> str:
    """`42 s`, `7 min 12 s`, `3 h 05 min`, kept on one line."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    whole = round(seconds)
    if seconds < 10:
        text = f"{seconds:.1f} s"
    elif whole < 60:
        text = f"{whole} s"
    elif whole < 3600:
        text = f"{whole // 60} min {whole % 60:02d} s"
    else:
        text = f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"
    return text.replace(" ", "\u00a0")


REPRESENTATION = {"bytes": "bytes", "bpe": "BPE"}
OBJECTIVE = {
    "ar": "autoregressive",
    "blt_diffusion": "autoregressive with masked blocks",
    "masked": "masked diffusion",
    "span": "span diffusion",
    "block": "block diffusion",
    "any_order": "any-order autoregressive",
    "eso": "Eso-LM",
    "digits": "digit diffusion",
    "patch_ar": "patch autoregressive",
    "patch_masked": "patch diffusion",
}


def representation(kind: str) -> str:
    return REPRESENTATION.get(kind, kind)


def objective(kind: str) -> str:
    return OBJECTIVE.get(kind, kind)


def permutation(given: dict[str, Any] | None) -> str:
    """The kind of a reading order and what it is told: `nearby 4 fresh`."""
    if given is None:
        return "as it stands"
    told = [f"{given[name]:g}" for name in ("width", "stride") if name in given]
    told += [name for name in ("fresh", "carry") if given.get(name)]
    told += [f"{given['units']['kind']}s"] if "units" in given else []
    return " ".join([given["kind"], *told])
