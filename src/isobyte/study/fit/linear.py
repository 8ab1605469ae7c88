"""Non-negative least squares on the three columns 1, p, q: every active set in closed form.

With E free (its sign checked afterwards) the columns are centred and only p and q are left; with E = 0
they are taken raw. Each case is a 2 x 2 problem with four active sets, so an arbitrary batch costs a few
dozen elementwise operations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isobyte.study.fit.runs import Floats


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted sums of products of the columns 1, p, q and the target l; shapes broadcast to a batch."""

    one: Floats
    p: Floats
    q: Floats
    pp: Floats
    qq: Floats
    pq: Floats
    l: Floats  # noqa: E741
    lp: Floats
    lq: Floats
    ll: Floats

    def projected(self, cross: Floats, active: NDArray[np.bool_]) -> Floats:
        """X'V of further columns V onto the active ones: V'X (X'X)^-1 X'V, with X'V = cross (batch, 3, k)."""
        one, p, q, pp, pq, qq = np.broadcast_arrays(self.one, self.p, self.q, self.pp, self.pq, self.qq)
        gram = np.stack([one, p, q, p, pp, pq, q, pq, qq], axis=-1).reshape(-1, 3, 3)
        both = active[:, :, None] & active[:, None, :]
        gram = np.where(both, gram, np.eye(3))
        cross = np.where(active[:, :, None], cross, 0.0)
        size = np.sqrt(np.einsum("rii->ri", gram))
        scaled = cross / size[:, :, None]
        gram = gram / (size[:, :, None] * size[:, None, :])
        return scaled.swapaxes(1, 2) @ np.linalg.solve(gram, scaled)


def solve_nonnegative(m: Moments) -> tuple[Floats, Floats]:
    """Minimise sum w (l - E - A p - B q)^2 over E, A, B >= 0: ((E, A, B) (batch, 3), objective (batch,))."""
    l_mean, p_mean, q_mean = m.l / m.one, m.p / m.one, m.q / m.one
    free = _pairs(
        m.pp - m.p * p_mean,
        m.qq - m.q * q_mean,
        m.pq - m.p * q_mean,
        m.lp - m.l * p_mean,
        m.lq - m.l * q_mean,
    )
    raw = _pairs(m.pp, m.qq, m.pq, m.lp, m.lq)
    best = None
    for offset, candidates, total in ((True, free, m.ll - m.l * l_mean), (False, raw, m.ll)):
        for A, B, gain in candidates:
            E = l_mean - A * p_mean - B * q_mean if offset else 0.0
            fits = (A >= 0) & (B >= 0) & (E >= 0)
            objective = np.where(fits, total - gain, np.inf)
            if best is None:
                best = [E, A, B, objective]
                continue
            wins = objective < best[3]
            best = [np.where(wins, new, old) for new, old in zip((E, A, B, objective), best, strict=True)]
    assert best is not None
    shape = np.broadcast_shapes(*(np.shape(part) for part in best))
    E, A, B, objective = (np.broadcast_to(part, shape) for part in best)
    return np.stack([E, A, B], axis=-1), objective


def _pairs(pp: Floats, qq: Floats, pq: Floats, lp: Floats, lq: Floats) -> list[tuple[Floats, Floats, Floats]]:
    """(A, B, decrease of the objective) for the active sets {p, q}, {p}, {q} and none."""
    none = np.zeros(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = pp * qq - pq * pq
        solvable = determinant > 1e-13 * pp * qq
        A = np.where(solvable, (lp * qq - lq * pq) / determinant, -1.0)
        B = np.where(solvable, (lq * pp - lp * pq) / determinant, -1.0)
        only_p = np.where(pp > 0, lp / pp, 0.0)
        only_q = np.where(qq > 0, lq / qq, 0.0)
    return [
        (A, B, A * lp + B * lq),
        (only_p, none, only_p * lp),
        (none, only_q, only_q * lq),
        (none, none, none),
    ]
