"""The loss surface L(N, D) = E + A N^-alpha + B D^-beta, and what is optimal on it at a given compute.

The surface is that of Hoffmann et al. (arXiv 2203.15556, equation 2). Compute enters through a cost map
C = kappa N^gamma D. With kappa = 6 and gamma = 1 it is their C = 6ND; counted FLOPs per byte are not 6N
(attention, output head), so gamma is fitted where C is given. Minimising L at fixed C gives

    N* = G (C/kappa)^a            a = beta / (alpha + gamma beta)
    D* = G^-gamma (C/kappa)^b     b = alpha / (alpha + gamma beta) = 1 - gamma a
    G  = (alpha A / (gamma beta B))^(1 / (alpha + gamma beta))
    L* = E + (A G^-alpha + B G^(gamma beta)) (C/kappa)^-m,  m = alpha beta / (alpha + gamma beta)

so a loss at the optimum is a power law of compute with the offset E, exactly.
"""

from dataclasses import dataclass

import numpy as np

from isobyte.study.fit.envelope import PowerEnvelope
from isobyte.study.fit.runs import Runs, Value


@dataclass(frozen=True)
class CostMap:
    """FLOPs of a run: C = kappa N^gamma D. `rms` is the scatter of ln C about the map."""

    kappa: float = 6.0
    gamma: float = 1.0
    rms: float = 0.0


def fit_cost_map(runs: Runs) -> CostMap:
    """Least squares of ln(C/D) on ln N. Exact whenever C is a power of N times D."""
    x, y = np.log(runs.N), np.log(runs.C / runs.D)
    centred = x - x.mean()
    gamma = float(centred @ y / (centred @ centred))
    intercept = float(y.mean() - gamma * x.mean())
    rms = float(np.sqrt(np.mean((y - intercept - gamma * x) ** 2)))
    return CostMap(float(np.exp(intercept)), gamma, rms)


@dataclass(frozen=True, eq=False)
class Law:
    """L = E + A N^-alpha + B D^-beta. Fields are floats, or equal-length arrays: one law per draw."""

    E: Value
    A: Value
    B: Value
    alpha: Value
    beta: Value

    def loss(self, N: Value, D: Value) -> Value:
        """Loss at N parameters and D data, broadcasting."""
        return self.E + self.A * np.power(N, -self.alpha) + self.B * np.power(D, -self.beta)

    def exponents(self, cost: CostMap = CostMap()) -> tuple[Value, Value]:
        """(a, b): how N* and D* grow with compute."""
        total = self.alpha + cost.gamma * self.beta
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.divide(self.beta, total), np.divide(self.alpha, total)

    def optimum(self, C: Value, cost: CostMap = CostMap()) -> tuple[Value, Value, Value]:
        """(N*, D*, L*) at compute C. A surface with A = 0 or B = 0 has its optimum at 0 or infinity."""
        a, b = self.exponents(cost)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            log_g = self._log_g(cost)
            log_c = np.log(C) - np.log(cost.kappa)
            N, D = np.exp(log_g + a * log_c), np.exp(-cost.gamma * log_g + b * log_c)
        return N, D, self.envelope(cost).loss(C)

    def envelope(self, cost: CostMap = CostMap()) -> PowerEnvelope:
        """The loss at the optimum as a function of compute."""
        m = self.alpha * self.beta / (self.alpha + cost.gamma * self.beta)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            log_g = self._log_g(cost)
            model = np.log(self.A) - self.alpha * log_g
            data = np.log(self.B) + cost.gamma * self.beta * log_g
            log_k = np.logaddexp(model, data) + m * np.log(cost.kappa)
        return PowerEnvelope(self.E, log_k, m)

    def _log_g(self, cost: CostMap) -> Value:
        ratio = np.log(self.alpha * self.A) - np.log(cost.gamma * self.beta * self.B)
        return ratio / (self.alpha + cost.gamma * self.beta)

    def at(self, draw: int) -> "Law":
        """One draw of many."""
        return Law(*(float(field[draw]) for field in (self.E, self.A, self.B, self.alpha, self.beta)))
