"""How fast this machine reads weights for products of one row: what bounds decoding of one text."""

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.products import Product

LARGE = 4096
"""Rows and columns of large matrices."""

CEILINGS = ("large", "own", "library", "read")
"""Bytes of weights per second, times one row: large matrices and the model's own, by the faster of our loops and the
library's products (`torch.nn.functional.linear`, in fp32); large ones by the library alone; and of a sum over plain
numbers."""


def ceiling(model: BltModel, width: int) -> dict[str, float]:
    """By `CEILINGS`, of weights whose numbers take `width` bytes, from more memory than caches hold."""
    tables = ("embedding.weight", "hashes.weight")
    own = [w.detach() for n, w in model.named_parameters() if w.ndim == 2 and not n.endswith(tables)]
    large = [torch.randn(LARGE, LARGE, device=own[0].device).half().to(own[0].dtype)]
    halved = width < own[0].element_size()
    ours = functools.partial(Product.of, halved=halved)
    rates = {"large": _rate(large, ours, width), "own": _rate(own, ours, width), "read": _reading(large[0])}
    rates["library"] = _rate(large, _linear, own[0].element_size())
    if not halved:
        rates["large"] = max(rates["large"], rates["library"])
        rates["own"] = max(rates["own"], _rate(own, _linear, width))
    return {name: rates[name] for name in CEILINGS}


def cache_bytes() -> int:
    """The last-level cache; 32 MiB where the system does not say."""
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    found = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        found.append(int(text[:-1]) * unit[text[-1]] if text[-1:] in unit else int(text or 0))
    return max(found, default=32 << 20)


def _linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return functools.partial(F.linear, weight=weight)


@torch.inference_mode()
def _rate(
    weights: Sequence[Tensor], lay_out: Callable[[Tensor], Callable[[Tensor], Tensor]], width: int, rounds: int = 3
) -> float:
    """Bytes per second of products of one row with [out, in] weights in order, the best of some rounds."""
    size = width * sum(w.numel() for w in weights)
    copies = -(-_enough() // size)
    calls = [lay_out(w.clone()) for _ in range(copies) for w in weights]
    rows = {
        n: torch.randn(1, n, dtype=weights[0].dtype, device=weights[0].device) for n in {w.shape[1] for w in weights}
    }
    given = [rows[w.shape[1]] for w in weights] * copies
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        found = [call(row) for call, row in zip(calls, given, strict=True)]
        float(found[-1].sum())  # waits for a GPU
        taken.append(time.perf_counter() - begun)
    return copies * size / min(taken)


@torch.inference_mode()
def _reading(like: Tensor, rounds: int = 3) -> float:
    held = torch.ones(_enough() // like.element_size(), dtype=like.dtype, device=like.device)
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        float(held.sum())
        taken.append(time.perf_counter() - begun)
    return held.nbytes / min(taken)


def _enough() -> int:
    return max(1 << 28, 4 * cache_bytes())
