"""The published sampler of MDM-Prime (arXiv 2505.18495): draw whole symbols, show some of their digits."""

from collections.abc import Callable

import torch
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.config.objective import Schedule, digit_shape
from isobyte.decode.noise import Noise
from isobyte.decode.transfer import Clock, reveal_probability
from isobyte.objective.base import LogProbs, View
from isobyte.objective.walk import Reveal, Walk
from isobyte.objective.walk_digits import symbols_of


def published_walk(
    log_probs: LogProbs,
    codes_VL: Tensor,
    x_WT: Tensor,
    schedule: Schedule,
    steps: int,
    noise: Noise,
    clock: Clock,
    *,
    whole: Callable[[Tensor, Tensor, Tensor, Tensor], None] = lambda *_: None,
) -> Walk:
    """At each step every cell with a hidden digit is asked for its symbol, whose hidden digits are each shown by a
    coin of ancestral sampling; the last step shows all.

    `log_probs` must rule out symbols that contradict a visible digit: then what is shown always stays a part of some
    symbol. `whole` is told the rows, places, symbols and their probabilities [N] where no hidden digit is left.
    """
    base = digit_shape(*codes_VL.shape)[1]
    d_WTL = shown_digits(x_WT, codes_VL)
    for step in range(steps):
        rows, places = (d_WTL == base).any(-1).nonzero(as_tuple=True)
        if not len(rows):
            break
        log_WTV = log_probs(View(d_WTL, BIDIRECTIONAL))
        shown = reveal_probability(schedule, torch.tensor(step), steps).to(x_WT.device)
        coins_WTL = clock.coins(noise, d_WTL[0].numel()).view(d_WTL.shape)
        clock.steps_W = clock.steps_W + 1
        symbols_N = yield Reveal(rows, places, log_WTV[rows, places])
        d_NL = d_WTL[rows, places]
        d_NL = torch.where((d_NL == base) & (coins_WTL[rows, places] < shown), codes_VL[symbols_N], d_NL)
        d_WTL[rows, places] = d_NL
        done_N = (d_NL < base).all(-1)
        sure_N = log_WTV[rows, places].gather(-1, symbols_N[:, None]).squeeze(-1).exp()
        whole(rows[done_N], places[done_N], symbols_N[done_N], sure_N[done_N])
    return symbols_of(d_WTL, codes_VL)


class Spelling:
    """Follows windows whose symbols are revealed digit by digit, and says which became whole."""

    def __init__(self, codes_VL: Tensor, x_WT: Tensor) -> None:
        self.codes_VL, self.base = codes_VL, digit_shape(*codes_VL.shape)[1]
        self.d_WTL = shown_digits(x_WT, codes_VL)
        self.log_WT = torch.zeros(x_WT.shape, dtype=torch.float64, device=x_WT.device)

    def write(
        self, rows: Tensor, places: Tensor, digits: Tensor, logs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Digits [N] at places among all digits, one of a symbol at most, and their log-probabilities -> rows, places,
        symbols and probabilities of those that have no hidden digit left."""
        places, slots = places // self.d_WTL.shape[2], places % self.d_WTL.shape[2]
        self.d_WTL[rows, places, slots] = digits
        self.log_WT[rows, places] += logs
        done = (self.d_WTL[rows, places] < self.base).all(-1)
        rows, places = rows[done], places[done]
        symbols = symbols_of(self.d_WTL[rows, places][:, None], self.codes_VL).squeeze(1)
        return rows, places, symbols, self.log_WT[rows, places].exp()


def shown_digits(x_WT: Tensor, codes_VL: Tensor) -> Tensor:
    """[W, T, digits], the base for those of hidden symbols (id `vocab`)."""
    vocab, digits = codes_VL.shape
    hidden_WTL = (x_WT == vocab)[..., None].expand(-1, -1, digits)
    return torch.where(hidden_WTL, digit_shape(vocab, digits)[1], codes_VL[x_WT.clamp(max=vocab - 1)])
