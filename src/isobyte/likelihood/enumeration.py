"""The masked bound of short windows without sampling: every mask is asked.

One number per mask count decides every form of the bound: c_k, the mean cost of a window's masked symbols
over the masks of exactly k. The any-order bound is sum_k c_k / k; a schedule, or a chain of reveal steps,
only weighs the c_k differently. Time and memory grow as 2^T: for proofs, not for evaluation.
"""

from math import comb

import numpy as np
import torch
from scipy.integrate import quad
from scipy.stats import binom
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.config.objective import Schedule
from isobyte.likelihood.oracle import all_sequences
from isobyte.objective.base import LogProbs, View
from isobyte.objective.schedule import mask_probability, weight


def count_costs(log_probs: LogProbs, x_BT: Tensor, vocab: int, *, told_rate: bool = False) -> Tensor:
    """[B, T + 1] nats: the summed cost of the masked symbols, averaged over all masks of exactly k = 0..T.

    `told_rate` hands the network k / T as its time.
    """
    batch, length = x_BT.shape
    masks_MT = all_sequences(2, length).bool()
    counts_M = masks_MT.sum(1)
    inputs = torch.where(masks_MT, vocab, x_BT[:, None]).flatten(0, 1)
    time = (counts_M / length).repeat(batch) if told_rate else None
    log_BMTV = log_probs(View(inputs, BIDIRECTIONAL, time_B=time)).double().view(batch, *masks_MT.shape, vocab)
    x_BMT = x_BT[:, None].expand(batch, *masks_MT.shape)
    cost_BMT = -log_BMTV.gather(-1, x_BMT[..., None]).squeeze(-1)
    cost_BM = torch.where(masks_MT, cost_BMT, 0.0).sum(-1)
    masks_of = torch.tensor([comb(length, k) for k in range(length + 1)])
    return cost_BM.new_zeros(batch, length + 1).index_add_(1, counts_M, cost_BM) / masks_of


def enumerated_bound(log_probs: LogProbs, x_BT: Tensor, vocab: int, *, told_rate: bool = False) -> Tensor:
    """[B] nats: the any-order bound itself, which `masked_nats` estimates (arXiv 2406.03736, 2502.09992)."""
    costs = count_costs(log_probs, x_BT, vocab, told_rate=told_rate)[:, 1:]
    return (costs / torch.arange(1, costs.shape[1] + 1)).sum(-1)


def schedule_bound(costs_BK: Tensor, schedule: Schedule) -> np.ndarray:
    """[B] nats: the continuous-time bound under a schedule, from `count_costs`, by quadrature over t.

    The integral over (0, 1) of w(t) sum_k Binomial(k; T, p(t)) c_k (MDLM, arXiv 2406.07524); it does not
    depend on the schedule when the network is not told the time.
    """
    costs = costs_BK.double().cpu().numpy()
    length = costs.shape[1] - 1

    def integrand(t: float, k: int) -> float:
        at = torch.tensor(t, dtype=torch.float64)
        return float(weight(schedule, at)) * float(binom.pmf(k, length, float(mask_probability(schedule, at))))

    weights = [quad(integrand, 0, 1, args=(k,), epsabs=1e-11, epsrel=1e-11)[0] for k in range(1, length + 1)]
    return costs[:, 1:] @ np.array(weights)


def step_bound(costs_BK: Tensor, steps: int) -> np.ndarray:
    """[B] nats: the discrete-time bound of `steps` equal reveal steps on the linear schedule.

    sum_j (1/j) E[cost at p = j / steps]; one step is the fully factorised model, the limit is the any-order
    bound (MD4, arXiv 2406.04329).
    """
    costs = costs_BK.double().cpu().numpy()
    step = np.arange(1, steps + 1)[:, None]
    counts = np.arange(1, costs.shape[1])
    weights = (binom.pmf(counts, costs.shape[1] - 1, step / steps) / step).sum(0)
    used = weights > 0
    return costs[:, 1:][:, used] @ weights[used]
