"""Exact posteriors of small sources: networks that cannot be wrong, to prove the bounds with.

Each function returns `LogProbs`: the float64 log-posterior of every position that a view asks about, given all
that its mask lets the asking cell see (id `vocab` shows nothing). Under its own oracle a source costs its entropy on
average, exactly. They are for proofs: on the CPU, and none of them fast.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.config.objective import digit_shape
from isobyte.objective.base import LogProbs, View

Posterior = Callable[[Tensor], Tensor]
"""contexts [B, T], `vocab` where hidden -> weights [B, T, vocab], proportional to p(x_i | the visible)."""


def oracle(posterior: Posterior, vocab: int) -> LogProbs:
    """The log-probabilities of a source whose posteriors are known.

    A visible position is certain of its symbol; a context the source never produces predicts the uniform
    distribution. A view that is not bidirectional asks for a context per cell.
    """

    def log_posterior(contexts_BT: Tensor) -> Tensor:
        weights = posterior(contexts_BT)
        total = weights.sum(-1, keepdim=True)
        probabilities = torch.where(total > 0, weights / total, 1 / vocab)
        certain = contexts_BT[..., None] == torch.arange(vocab)
        return torch.where((contexts_BT < vocab)[..., None], certain.double(), probabilities).log()

    def log_probs(view: View) -> Tensor:
        if view.mask.kind == "bidirectional":
            return log_posterior(view.inputs)
        contexts_BAT, asked_BA = seen(view, vocab)
        batch, asked, length = contexts_BAT.shape
        posteriors_BATV = log_posterior(contexts_BAT.flatten(0, 1)).view(batch, asked, length, vocab)
        return posteriors_BATV.gather(2, asked_BA[..., None, None].expand(-1, -1, 1, vocab)).squeeze(2)

    return log_probs


def seen(view: View, vocab: int) -> tuple[Tensor, Tensor]:
    """What each asked cell may see, [B, A, T] (`vocab` where nothing), and the position it asks about, [B, A].

    Read off the view's mask and positions alone, so a mask that shows too much is an oracle that knows too much.
    """
    batch, cells = view.inputs.shape
    asked = cells if view.asked is None else view.asked
    places = torch.arange(cells)
    held, ask = (places - 1, places) if view.mask.kind == "causal" else (places, places)
    if view.positions is not None:
        held, ask = view.positions.held, view.positions.asked
    held, ask = held.expand(batch, cells), ask.expand(batch, cells)
    length = int(ask.max()) + 1
    visible = view.mask.dense(cells)
    visible = visible if visible.ndim == 2 else visible[:, 0]
    visible = visible.expand(batch, cells, cells)[:, :asked]
    shown = visible & (view.inputs < vocab)[:, None] & (held >= 0)[:, None]
    contexts = torch.full((batch, asked, length + 1), vocab)
    where = torch.where(shown, held[:, None], length)
    contexts.scatter_(2, where, view.inputs[:, None].expand_as(where))
    return contexts[..., :length], ask[:, :asked]


def iid(probabilities_V: Tensor) -> LogProbs:
    """Independent symbols with the given probabilities [V]."""
    vocab = len(probabilities_V)

    def posterior(contexts_BT: Tensor) -> Tensor:
        return probabilities_V.double().expand(*contexts_BT.shape, vocab)

    return oracle(posterior, vocab)


def uniform(vocab: int) -> LogProbs:
    """Independent, equally likely symbols: every bound is T log V, whatever the mask."""
    return iid(torch.ones(vocab))


def all_equal(vocab: int) -> LogProbs:
    """One symbol, uniform over the alphabet, copied to every position: log V nats a window."""

    def posterior(contexts_BT: Tensor) -> Tensor:
        agree = contexts_BT[..., None] == torch.arange(vocab)
        possible = (agree | (contexts_BT == vocab)[..., None]).all(1, keepdim=True)
        return possible.double().expand(-1, contexts_BT.shape[1], -1)

    return oracle(posterior, vocab)


def even_parity() -> LogProbs:
    """Uniform bits with an even sum: (T - 1) log 2 nats a window; the last to be revealed is free."""

    def posterior(contexts_BT: Tensor) -> Tensor:
        hidden = contexts_BT == 2
        odd = torch.where(hidden, 0, contexts_BT).sum(1, keepdim=True) % 2
        fitting = torch.cat((1 - odd, odd), -1)[:, None].double()
        last = (hidden.sum(1) == 1)[:, None, None]
        return torch.where(last, fitting, 0.5).expand(-1, contexts_BT.shape[1], -1)

    return oracle(posterior, 2)


def binary_markov(flip: float) -> LogProbs:
    """The symmetric binary chain from a fair start: log 2 + (T - 1) h(flip) nats a window.

    Only the nearest visible neighbours matter: p(a) ~ s(d_left) s(d_right), where s(d), the probability that
    symbols d apart agree (+) or differ (-), is (1 +- (1 - 2 flip)^d) / 2.
    """

    def agreement(contexts_BT: Tensor) -> Tensor:
        """[B, T, 2] likelihood of each bit under the nearest visible one to its left."""
        positions = torch.arange(contexts_BT.shape[1])
        last = torch.where(contexts_BT < 2, positions, -1).cummax(1).values
        decay = (1 - 2 * flip) ** (positions - last).double()
        sign = 1 - 2 * (contexts_BT.gather(1, last.clamp(min=0))[..., None] - torch.arange(2)).abs()
        return torch.where((last >= 0)[..., None], (1 + sign * decay[..., None]) / 2, 0.5)

    def posterior(contexts_BT: Tensor) -> Tensor:
        return agreement(contexts_BT) * agreement(contexts_BT.flip(1)).flip(1)

    return oracle(posterior, 2)


def enumerated(table: Tensor) -> LogProbs:
    """Any distribution over V^T, given as its table: T axes of size V, non-negative, of any positive sum."""
    vocab, length = table.shape[0], table.ndim
    sequences_ST = all_sequences(vocab, length)
    symbols_STV = F.one_hot(sequences_ST, vocab).double()
    mass_S = table.double().flatten()

    def posterior(contexts_BT: Tensor) -> Tensor:
        visible = (contexts_BT < vocab)[:, None]
        fits_BS = ((contexts_BT[:, None] == sequences_ST) | ~visible).all(-1)
        return torch.einsum("bs,stv->btv", fits_BS * mass_S, symbols_STV)

    return oracle(posterior, vocab)


def enumerated_digits(table: Tensor, codes_VL: Tensor) -> LogProbs:
    """`enumerated` for views in digits: p(x_i | the visible digits of all symbols)."""
    vocab, length = table.shape[0], table.ndim
    base = digit_shape(*codes_VL.shape)[1]
    sequences_ST = all_sequences(vocab, length)
    symbols_STV = F.one_hot(sequences_ST, vocab).double()
    digits_STL, mass_S = codes_VL[sequences_ST], table.double().flatten()

    def log_probs(view: View) -> Tensor:
        assert view.mask.kind == "bidirectional"
        shown = view.inputs[:, None]
        fits_BS = ((shown == digits_STL) | (shown == base)).all(-1).all(-1)
        weights = torch.einsum("bs,stv->btv", fits_BS * mass_S, symbols_STV)
        total = weights.sum(-1, keepdim=True)
        return torch.where(total > 0, weights / total, 1 / vocab).log()

    return log_probs


def all_sequences(vocab: int, length: int) -> Tensor:
    """[vocab^length, length]: every sequence, the first symbol varying slowest."""
    axes = torch.meshgrid(*[torch.arange(vocab)] * length, indexing="ij")
    return torch.stack(axes, -1).flatten(0, -2)
