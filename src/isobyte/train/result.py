"""What a finished run says of itself."""

from typing import Any

from isobyte.config.run import RunConfig
from isobyte.cost.design import bytes_per_patch, run_cost
from isobyte.cost.flops import Patches
from isobyte.data.prepared import Prepared
from isobyte.train.score import Scored


def result_record(
    config: RunConfig,
    prepared: Prepared,
    scored: Scored,
    totals: dict[str, Any],
    *,
    vocab: int,
    evaluate_seconds: float,
) -> dict[str, Any]:
    """result.json: the likelihood, parameters, compute as achieved under every convention, data in bytes, times;
    of a network that is trained with masked blocks also how well it fills them."""
    cost = run_cost(config, vocab=vocab, **_seen(totals))
    stream = prepared.stream("train")
    masked = {} if scored.masked is None else {"masked_blocks": scored.masked.to_json()}
    return {
        "hash": config.content_hash(),
        "likelihood": scored.own.to_json(),
        "companions": [
            {"estimator": other.estimator, "kind": other.kind, "value": other.value_bits_per_byte}
            for other in scored.beside
        ],
        "N": cost.parameters.N,
        "N_total": cost.parameters.N_total,
        "vocab": vocab,
        "flops": totals["flops"],
        "flops_by_convention": {name: rate * totals["symbols"] for name, rate in cost.conventions.items()},
        "breakdown": cost.flops.breakdown(),
        "steps": config.train.steps,
        "symbols": totals["symbols"],
        "data_bytes": totals["bytes"],
        "bytes_per_symbol": totals["bytes"] / totals["symbols"],
        "bytes_per_patch": _bytes_per_patch(config, totals),
        "epochs": totals["bytes"] / stream.n_bytes,
        "step_seconds": totals["step_seconds"],
        "wall_seconds": totals["wall_seconds"] + evaluate_seconds,
        "evaluate_seconds": evaluate_seconds,
        "flops_per_second": totals["flops"] / max(totals["step_seconds"], 1e-9),
        **masked,
    }


def _seen(totals: dict[str, Any]) -> dict[str, Any]:
    """The mean window, where it has patches: nothing need be expected of what has been seen."""
    if not totals["patches"]:
        return {}
    windows = totals["windows"]
    return {"window": round(totals["symbols"] / windows), "patches": Patches.of(totals["patches"] / windows)}


def _bytes_per_patch(config: RunConfig, totals: dict[str, Any]) -> float | None:
    """Of a network of patches, as trained."""
    if not totals["patches"]:
        return None
    return bytes_per_patch(config, totals["symbols"], totals["patches"], totals["windows"])
