"""A linear probe: multinomial logistic regression with a ridge, fitted, and scored on other windows."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from isobyte.evaluate.probes.common import ratio_of

RIDGES = (1.0, 0.1, 0.01, 0.001)
"""From strong to weak; the first that a weaker one does not better, on windows of their own, is kept."""
STEPS = 60
LEAST = 4
"""Examples to fit of a class; classes with fewer are left out."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Examples by the window they come from: half of the windows to fit, an eighth of them to choose a ridge."""

    window_N: Labels

    @property
    def fit(self) -> NDArray[np.bool_]:
        return (self.window_N % 2 == 0) & ~self.choose

    @property
    def choose(self) -> NDArray[np.bool_]:
        return self.window_N % 8 == 0

    @property
    def test(self) -> NDArray[np.bool_]:
        return self.window_N % 2 == 1


@dataclass(frozen=True)
class Scored:
    """Of the test examples, on one probe."""

    bits_N: NDArray[np.float64]
    correct_N: NDArray[np.bool_]


def common_classes(label_N: Labels, split: Split) -> NDArray[np.bool_]:
    """The examples whose class has enough others to fit."""
    counts = np.bincount(label_N[split.fit], minlength=int(label_N.max(initial=0)) + 1)
    return counts[label_N] >= LEAST


def frequencies(label_N: Labels, split: Split) -> Scored:
    """What the frequencies of the classes say of the test examples; `correct` is the commonest one."""
    counts = np.bincount(label_N[split.fit], minlength=int(label_N.max()) + 1) + 1e-9
    bits_C = -np.log2(counts / counts.sum())
    return Scored(bits_C[label_N[split.test]], label_N[split.test] == counts.argmax())


def probe(state_ND: NDArray[np.floating], label_N: Labels, split: Split) -> Scored:
    """Fit to states, each coordinate at mean 0 and deviation 1 on the windows to fit, and score."""
    x_ND = state_ND.astype(np.float64)
    mean_D, spread_D = x_ND[split.fit].mean(0), x_ND[split.fit].std(0)
    x_ND = (x_ND - mean_D) / np.where(spread_D > 1e-9, spread_D, 1.0)
    x_ND = np.concatenate((x_ND, np.ones((len(x_ND), 1))), 1)
    classes, y_N = np.unique(label_N, return_inverse=True)
    weights_DC = np.zeros((x_ND.shape[1], len(classes)))
    best, chosen = math.inf, weights_DC
    for ridge in RIDGES:
        weights_DC = _fit(x_ND[split.fit], y_N[split.fit], ridge, weights_DC)
        nats = -_log(x_ND[split.choose], weights_DC)[np.arange(split.choose.sum()), y_N[split.choose]]
        if len(nats) and nats.mean() >= best:
            break
        best, chosen = float(nats.mean()) if len(nats) else best, weights_DC
    log_NC = _log(x_ND[split.test], chosen)
    y_N = y_N[split.test]
    return Scored(-log_NC[np.arange(len(y_N)), y_N] / math.log(2), log_NC.argmax(1) == y_N)


def _log(x_ND: NDArray[np.float64], weights_DC: NDArray[np.float64]) -> NDArray[np.float64]:
    logits = x_ND @ weights_DC
    logits -= logits.max(1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def _fit(x_ND: NDArray[np.float64], y_N: Labels, ridge: float, start_DC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least mean nats + ridge / 2 times the squared weights but the last row's, the bias; by L-BFGS."""
    free = np.ones((len(start_DC), 1))
    free[-1] = 0
    rows = np.arange(len(y_N))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights_DC = flat.reshape(start_DC.shape)
        log_NC = _log(x_ND, weights_DC)
        nats = -log_NC[rows, y_N].mean() + ridge / 2 * float((free * weights_DC**2).sum())
        slope_NC = np.exp(log_NC)
        slope_NC[rows, y_N] -= 1
        return nats, (x_ND.T @ slope_NC / len(rows) + ridge * free * weights_DC).ravel()

    found = minimize(loss, start_DC.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return found.x.reshape(start_DC.shape)


def by_window(values_N: NDArray[Any], split: Split) -> dict[str, Any]:
    """Mean over the test examples, with its standard error over windows."""
    windows, index_N = np.unique(split.window_N[split.test], return_inverse=True)
    sums_U = np.bincount(index_N, values_N.astype(np.float64), minlength=len(windows))
    return ratio_of(sums_U.astype(np.float64), np.bincount(index_N, minlength=len(windows)))
