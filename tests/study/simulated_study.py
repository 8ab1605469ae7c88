"""Studies drawn from planted laws, in the form in which finished runs are collected."""

import zlib
from typing import Any

import numpy as np

from isobyte.study.fit import CostMap, Law

Planted = dict[str, tuple[Law, CostMap]]

PLANTED: Planted = {
    "ar-bpe": (Law(E=1.05, A=32.0, B=260.0, alpha=0.38, beta=0.40), CostMap(9.0, 0.88)),
    "ar-bytes": (Law(E=1.02, A=32.0, B=330.0, alpha=0.38, beta=0.41), CostMap(8.0, 0.97)),
    "masked-bpe": (Law(E=1.18, A=38.0, B=320.0, alpha=0.38, beta=0.39), CostMap(10.0, 0.88)),
    "masked-bytes": (Law(E=1.28, A=42.0, B=335.0, alpha=0.38, beta=0.39), CostMap(9.0, 0.97)),
}
BUDGETS = (1e11, 3e11, 1e12, 3e12, 1e13)
CONVENTIONS = {"exact": 0.0, "executed": 0.02, "6N": -0.08, "6N+head": -0.04, "6N+attention": 0.01, "deepseek": 0.03,
               "gidd": 0.02, "blt": -0.03}  # fmt: skip


def simulate(
    planted: Planted = PLANTED,
    *,
    budgets: tuple[float, ...] = BUDGETS,
    sizes: int = 5,
    ratio: float = 1.8,
    seeds: int = 1,
    noise: float = 0.002,
    seed: int = 0,
    conventions: tuple[str, ...] = tuple(CONVENTIONS),
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(study, rows): every design at every budget, `sizes` sizes spaced by `ratio` about the true optimum.

    `noise` is the relative standard deviation of a loss; `conventions` are the FLOPs rules that rows carry.
    """
    random = np.random.default_rng(seed)
    rows = []
    for name, (law, cost) in planted.items():
        for budget in budgets:
            centre = float(law.optimum(budget, cost)[0])
            for k in range(sizes):
                for repeat in range(seeds):
                    N = round(centre * ratio ** (k - (sizes - 1) / 2))
                    achieved = budget * (1 - 0.01 * float(random.random()))
                    D = achieved / (cost.kappa * N**cost.gamma)
                    loss = float(law.loss(N, D)) * (1 + noise * float(random.normal()))
                    rows.append(row(name, budget, k, repeat, N, D, achieved, loss, conventions))
    return study(planted, budgets), rows


def row(
    name: str,
    budget: float,
    size: int,
    seed: int,
    N: int,
    D: float,
    C: float,
    loss: float,
    conventions: tuple[str, ...],
) -> dict[str, Any]:
    objective, _, representation = name.partition("-")
    window = 256 if representation == "bytes" else 80
    forward = C / 3e4
    return {
        "design": name, "representation": representation, "objective": objective, "size": f"w{16 + 8 * size}",
        "seed": seed, "budget": budget, "flops": C, "N": N, "N_total": N + 65536, "data_bytes": round(D),
        "bpb": loss, "stderr": 0.0 if objective == "ar" else 0.0015, "stderr_text": 0.011,
        "kind": "exact" if objective == "ar" else "bound",
        "estimator": "chain-rule" if objective == "ar" else "count-stratified", "steps": 1000, "window": window,
        "batch": 16, "lr": 0.003, "symbols": round(D / (256 / window)), "bytes_per_symbol": 256 / window,
        "epochs": D / 9.7e6, "wall_seconds": C / 4e10, "flops_per_second": 4e10, "state": "done", "error": None,
        "hash": f"{zlib.crc32(repr((name, budget, size, seed)).encode()):08x}",
        "folder": f"runs/{name}_{budget:.3g}_{size}_s{seed}",
        "breakdown": {"blocks": forward * 0.8, "attention": forward * 0.08, "head": forward * 0.12, "conditioning": 0.0,
                      "recompute": 0.0, "patcher": 0.0, "attention_executed": forward * 0.16},
        "flops_by_convention": {name: C * (N / 1e5) ** CONVENTIONS[name] for name in conventions},
    }  # fmt: skip


def study(planted: Planted = PLANTED, budgets: tuple[float, ...] = BUDGETS) -> dict[str, Any]:
    tuning = {
        "window": 256,
        "batch": 16,
        "lr": 0.003,
        "lr_width_exponent": -0.5,
        "optimizer": {"kind": "adamw", "lr": 1.0},
    }
    return {
        "name": "simulated",
        "budgets": list(budgets),
        "designs": [
            {"name": name, "representation": {"kind": name.partition("-")[2]}, "tied": False,
             "objective": {"kind": name.partition("-")[0]}, "tuning": tuning}
            for name in planted
        ],
        "corpus": {"name": "State of the Union addresses", "bytes": 10_800_000, "sha256": "0" * 64},
        "reference": {"unigram": 4.47, "bigram": 3.55, "zstd": 2.46, "xz": 2.29},
        "heldout_bytes": 1_080_000,
        "versions": {"isobyte": "0.1.0", "python": "3.11.2"},
        "machine": {"cpu": "two cores", "memory_gb": 16},
        "decisions": [
            {"design": name, "budget": budgets[0], "centre": "w32", "sizes": ["w16", "w48"], "reason": "pilot"}
            for name in planted
        ],
        "wall_seconds": 432.1,
    }  # fmt: skip
