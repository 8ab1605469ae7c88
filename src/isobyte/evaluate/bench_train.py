"""Training throughput beside an eager transformers loop of the same shape, and beside what the machine can do.

Rounds alternate the machine's own matrix product, our steps and theirs, so that whatever else the machine does meets
all three; what is reported are medians over the rounds, and ratios within a round.
"""

import time
from collections.abc import Callable, Mapping
from statistics import median, quantiles
from typing import Any

import torch

from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import ArConfig
from isobyte.config.run import RunConfig
from isobyte.config.sizes import shape
from isobyte.cost.design import run_cost
from isobyte.cost.device import peak_bf16
from isobyte.cost.flops import flat_flops
from isobyte.errors import UserError
from isobyte.evaluate.bench_loops import Step, our_step, their_step
from isobyte.random import generator
from isobyte.train.runtime import Runtime, environment

EQUAL = (
    "shape, head and number of positions; bytes in, 256 symbols out",
    "window, batch, and the same random symbols, handed over as NumPy arrays",
    "AdamW (fused) with weight decay, gradient norm clipped to 1",
    "device, threads, precision, memory allocator and process",
    "the loss is read after every step",
)
DIFFERENT = (
    "theirs: LlamaForCausalLM in eager mode with its own loss on shifted labels, causal whatever our objective",
    "ours: the training step of `isobyte train`, which checks for non-finite losses and flushes denormals",
)
ROUNDS, WARMUP = 25, 3


def bench_train(
    sizes: tuple[str, ...],
    objective: str,
    *,
    window: int,
    batch: int,
    seconds: float,
    runtime: Runtime,
    report: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """A JSON-ready record: the ceiling, and per size what ours and theirs achieve of it; about `seconds` a size.

    FLOPs are the exact count with attention at its useful context. Raises UserError where transformers is missing.
    """
    try:
        import transformers
    except ImportError:
        raise UserError(
            "transformers is not installed", where="bench train", how='install it: pip install "isobyte[dev]"'
        ) from None
    device = runtime.apply()
    rows = []
    for size in sizes:
        report(f"{size}: warming up")
        config = _config(size, objective, window, batch)
        rows.append(_bench_size(size, config, device, runtime, seconds))
        report(f"{size}: {rows[-1]['ratio']['median']:.2f} x transformers")
    return {
        **environment(device),
        "transformers": transformers.__version__,
        "objective": objective,
        "window": window,
        "batch": batch,
        "precision": _precision(device),
        "compiled": runtime.compiles(device),
        "equal": EQUAL,
        "different": DIFFERENT,
        "sizes": rows,
    }


def _config(size: str, objective: str, window: int, batch: int) -> RunConfig:
    if objective not in ("ar", "masked"):
        raise UserError(f"unknown objective {objective!r}", where="--objective", how="take ar or masked")
    train = {"window": window, "batch": batch, "steps": 1_000_000, "optimizer": {"lr": 1e-3}}
    return RunConfig.model_validate(
        {
            "representation": {"kind": "bytes"},
            "objective": {"kind": objective},
            "backbone": shape(size),
            "data": {},
            "train": train,
        }
    )


def _bench_size(size: str, config: RunConfig, device: torch.device, runtime: Runtime, seconds: float) -> dict[str, Any]:
    cost, plan, shape = run_cost(config), config.train, config.backbone
    assert isinstance(shape, FlatConfig)
    symbols = plan.batch * plan.window
    their_flops = flat_flops(shape, ArConfig(), vocab=256, window=plan.window).training * plan.batch
    draw = generator(0, "bench train")
    batches = [draw.integers(0, 256, (plan.batch, plan.window)) for _ in range(8)]
    steps = {"ours": our_step(config, batches, device, runtime), "transformers": their_step(config, batches, device)}
    flops = {"ours": cost.per_step, "transformers": their_flops}
    ceilings, times = _rounds(steps, device, seconds)
    row: dict[str, Any] = {
        "size": size,
        "layers": shape.layers,
        "width": shape.width,
        "N": cost.parameters.N,
        "N_total": cost.parameters.N_total,
        "flops_per_step": flops["ours"],
        "ceiling": ceiling(device, ceilings),
        "ratio": _spread([theirs / ours for ours, theirs in zip(times["ours"], times["transformers"], strict=True)]),
    }
    most = row["ceiling"]["flops_per_second"]
    for name, taken in times.items():
        row[name] = {
            "seconds_per_step": _spread(taken),
            "bytes_per_second": symbols / median(taken),
            "flops_per_second": flops[name] / median(taken),
            "share": _spread([flops[name] / t / most for t in taken]),
        }
    return row


def _rounds(
    steps: Mapping[str, Step], device: torch.device, seconds: float
) -> tuple[list[float], dict[str, list[float]]]:
    """Per round: FLOP/s of one matrix product, and seconds per step of each contender."""
    for step in steps.values():
        _timed(step, WARMUP, device)
    once = {name: _timed(step, 1, device) for name, step in steps.items()}
    count = max(1, round(seconds / ROUNDS / sum(once.values())))
    ceilings: list[float] = []
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(ROUNDS):
        ceilings.append(matmul_rate(device))
        for name in list(steps)[:: 1 if turn % 2 else -1]:
            times[name].append(_timed(steps[name], count, device))
    return ceilings, times


def _timed(step: Callable[[], object], count: int, device: torch.device) -> float:
    """Seconds per step."""
    _synchronise(device)
    started = time.perf_counter()
    for _ in range(count):
        step()
    _synchronise(device)
    return (time.perf_counter() - started) / count


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_rate(device: torch.device) -> float:
    """FLOP/s of a square matrix product, the best of four: fp32 on a CPU, bf16 on CUDA."""
    n, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    a, b = torch.randn(2, n, n, device=device, dtype=dtype)
    return 2 * n**3 / min(_timed(lambda: torch.mm(a, b), 1, device) for _ in range(4))


def ceiling(device: torch.device, measured: list[float]) -> dict[str, Any]:
    """What achieved rates are a share of: the maker's peak of a known GPU, else the measured product."""
    product = _spread(measured)
    peak = peak_bf16(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    kind = f"measured {'bf16' if device.type == 'cuda' else 'fp32'} matrix product" if peak is None else "data sheet"
    return {"flops_per_second": peak or product["median"], "kind": kind, "matmul": product}


def _precision(device: torch.device) -> str:
    return "bf16 autocast" if device.type == "cuda" else "fp32"


def _spread(values: list[float]) -> dict[str, float]:
    """The rounds' median, quartiles and extremes."""
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high, "least": min(values), "most": max(values)}
