"""Self-speculation of a Byte Latent Transformer (BLT-S, arXiv 2605.08044): cheap drafts, one exact pass to judge them.

A draft goes through encoder and decoder alone and reads the newest latent there is, whatever patches it would open.
What is kept of it follows from the exact pass, so the text is plain decoding's: the same bytes where the likeliest are
taken, the same law where they are drawn (speculative rejection, arXiv 2211.17192).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.decode.draw import adjusted, draw
from isobyte.decode.noise import Noise


@dataclass(frozen=True)
class Chooser:
    """Ids by `temperature` and `top_p`, with noise that belongs to a row and a place of its text."""

    noise: Noise
    temperature: float = 1.0
    top_p: float = 1.0

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def law(self, logits: Tensor) -> Tensor:
        """[N, V] log-probabilities that are drawn from, float64; the logits themselves where the likeliest is taken."""
        if self.greedy:
            return logits
        return adjusted(logits.double().log_softmax(-1), self.temperature, self.top_p)

    def choose(self, law_NV: Tensor, rows_N: Tensor, *places_N: Tensor, name: str = "symbol") -> Tensor:
        """[N] symbols, by the noise called `name`."""
        if self.greedy:
            return law_NV.argmax(-1)
        return draw(law_NV, self.noise.uniform(name, rows_N, *places_N))

    def judge(
        self, p_BSV: Tensor, q: Sequence[Tensor], drafts_BK: Tensor, drafted: list[int], places_B: Tensor
    ) -> tuple[list[int], list[int]]:
        """How many drafts of each row are kept, and the symbol that comes after those.

        `p_BSV` is the law of each draft and of what follows the last; `q` holds the laws that K drafts were drawn
        from; row b has `drafted[b]` of them, the first at place `places_B[b]`. A draft x is kept with probability
        min(1, p(x) / q(x)); what replaces the first that is not is drawn from max(p - q, 0), what follows when all
        are kept from p.
        """
        rows_B = torch.arange(len(p_BSV), device=p_BSV.device)
        count_B = torch.tensor(drafted, device=p_BSV.device)
        if not q:
            return [0] * len(p_BSV), self.choose(p_BSV[:, 0], rows_B, places_B).tolist()
        nth_K = torch.arange(len(q), device=p_BSV.device)
        best_BS = p_BSV.argmax(-1)
        if self.greedy:
            kept_BK = best_BS[:, :-1] == drafts_BK
        else:
            coins_BK = self.noise.uniform("accept", rows_B[:, None], places_B[:, None] + nth_K)
            p_BK = p_BSV[:, :-1].gather(-1, drafts_BK[..., None])[..., 0]
            q_BK = torch.stack([law.gather(-1, x[:, None])[:, 0] for law, x in zip(q, drafts_BK.T, strict=True)], 1)
            kept_BK = coins_BK < (p_BK - q_BK).exp()
        kept_B = (kept_BK & (nth_K < count_B[:, None])).int().cumprod(1).sum(1)
        if self.greedy:
            return kept_B.tolist(), best_BS.gather(1, kept_B[:, None])[:, 0].tolist()
        p_BV, at_B = p_BSV[rows_B, kept_B], places_B + kept_B
        rest_BV = (p_BV.exp() - torch.stack([*q, q[-1]])[kept_B, rows_B].exp()).clamp(min=0)
        # what was refused has p < q, so something has p > q, but for rounding
        rest_BV = torch.where(rest_BV.sum(-1, keepdim=True) > 0, rest_BV, p_BV.exp())
        instead_B = draw(rest_BV.log(), self.noise.uniform("residual", rows_B, at_B))
        after_B = self.choose(p_BV, rows_B, at_B)
        return kept_B.tolist(), torch.where(kept_B < count_B, instead_B, after_B).tolist()
