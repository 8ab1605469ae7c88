"""IsoFLOP studies drawn from known laws."""

import numpy as np

from isobyte.study.fit import CostMap, Envelopes, Law, PowerEnvelope, Runs

CHINCHILLA = Law(1.69, 406.4, 410.7, 0.34, 0.28)
SYMMETRIC = Law(1.69, 400.0, 400.0, 0.31, 0.31)
LOPSIDED = Law(1.69, 406.4, 410.7, 0.465, 0.155)
SIX_ND = CostMap()

FIRST, SECOND = Law(0.55, 60.0, 45.0, 0.32, 0.26), Law(0.50, 40.0, 60.0, 0.34, 0.25)
"""Two designs in bits per byte; the first needs 3 to 5 times the compute of the second at 1e17 .. 1e19 FLOPs."""


def isoflop(
    law: Law,
    budgets: np.ndarray | None = None,
    *,
    sizes: int = 5,
    half: float = 4.0,
    off: float = 1.0,
    noise: float = 0.0,
    seed: int = 0,
    seeds: int = 1,
    cost: CostMap = SIX_ND,
) -> Runs:
    """`sizes` sizes at each budget, from N*/half to N* half, all moved down by `off`; relative Gaussian noise."""
    budgets = np.logspace(17, 21, 5) if budgets is None else budgets
    centre = np.log(law.optimum(budgets, cost)[0] / off)
    log_n = centre[:, None] + np.log(half) * np.linspace(-1, 1, sizes)
    N = np.repeat(np.exp(log_n).ravel(), seeds)
    C = np.repeat(budgets, sizes * seeds)
    D = C / (cost.kappa * N**cost.gamma)
    L = law.loss(N, D) * (1 + noise * np.random.default_rng(seed).normal(size=N.size))
    return Runs(N, D, C, L, seed=np.tile(np.arange(seeds), N.size // seeds) if seeds > 1 else None)


def power(points: dict[float, float]) -> PowerEnvelope:
    """The pure power law k C^-m through two points, loss: compute."""
    (l0, c0), (l1, c1) = points.items()
    m = float(np.log(l0 / l1) / np.log(c1 / c0))
    return PowerEnvelope(0.0, float(np.log(l0) + m * np.log(c0)), m)


def known(envelope: PowerEnvelope, measured: tuple[float, float], spread: float = 0.0, seed: int = 0) -> Envelopes:
    """An envelope known up to `spread` in ln k, the same under every form."""
    shift = spread * np.random.default_rng(seed).normal(size=400)
    draws = PowerEnvelope(envelope.E + 0 * shift, envelope.log_k + shift, envelope.m + 0 * shift)
    forms = ("law", "power", "offset", "offset-law")
    return Envelopes(dict.fromkeys(forms, envelope), dict.fromkeys(forms, draws), None, measured, 1000)
