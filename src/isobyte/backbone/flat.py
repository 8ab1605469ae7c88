"""The flat backbone: a LLaMA-style transformer over single symbols, with its embedding and its head."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isobyte.backbone.attention import ATTENTION, Attention, flex
from isobyte.backbone.cache import Cache
from isobyte.backbone.digits import DigitEmbedding
from isobyte.backbone.layers import Block, Blocks, Positions, RMSNorm, Rotation, Rotations, TimeEmbedding, rotation
from isobyte.backbone.mask import CAUSAL, Dense, Mask, MaskSpec, Ranked
from isobyte.config.backbone_flat import FlatConfig
from isobyte.errors import UserError


class FlatModel(nn.Module):
    """Symbols, positions and a mask spec -> hidden states -> logits over the `vocab` symbols.

    Input ids are the symbols 0..vocab-1 and one more, `vocab`: BOS or MASK, whichever the objective uses.
    It has no column in the head, so no probability is ever spent on it. With another `embedding` the inputs are
    whatever that takes.
    """

    def __init__(
        self,
        shape: FlatConfig,
        vocab: int,
        *,
        time_conditioning: bool = False,
        attention: str = "sdpa",
        embedding: DigitEmbedding | None = None,
    ) -> None:
        super().__init__()
        if embedding is not None and shape.tied:
            raise UserError("a head cannot reuse a table of digits", where="backbone.tied", how="take tied = false")
        self.shape, self.vocab = shape, vocab
        self.kernel = ATTENTION[attention]
        self.embedding = embedding or nn.Embedding(vocab + 1, shape.width)
        self.blocks = Blocks(Block(shape, time_conditioning=time_conditioning) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.norm_eps)
        self.head = None if shape.tied else nn.Linear(shape.width, vocab, bias=False)
        self.time = TimeEmbedding(shape.width) if time_conditioning else None
        self.film = nn.Linear(shape.width, 2 * shape.width, bias=False) if time_conditioning else None
        self._rotation: tuple[tuple[int, str], Rotation] | None = None

    @property
    def device(self) -> torch.device:
        return self.norm.weight.device

    @property
    def codes(self) -> Tensor | None:
        """[vocab, digits] where symbols are shown as digits."""
        return self.embedding.codes if isinstance(self.embedding, DigitEmbedding) else None

    def forward(
        self,
        inputs_BS: Tensor,
        mask: Mask,
        *,
        positions: Positions | None = None,
        time_B: Tensor | None = None,
        cache: Cache | None = None,
        keep: int = 0,
    ) -> Tensor:
        """Hidden states [B, S, D] of S cells (of the T symbols of a window, where positions are left out).

        Positions default to 0..S-1; only a time-conditioned network asks for `time_B`. With a cache the cells see
        all that it holds beside what `mask` lets them see of each other, and the first `keep` of them stay in it.
        """
        if isinstance(mask, Ranked) and self.kernel is not flex:
            mask = Dense(mask.dense(inputs_BS.shape[1], inputs_BS.device))
        if mask == CAUSAL:
            mask = self.left_to_right(inputs_BS)
        rotations = self._rotations(inputs_BS.shape[1], inputs_BS.device, positions)
        time_BD = self.time(time_B) if self.time is not None else None
        h_BSD = self.embedding(inputs_BS)
        for layer, block in enumerate(self.blocks):
            kernel = self.kernel if cache is None else _cached(self.kernel, cache, layer)
            h_BSD = block(h_BSD, rotations, mask, kernel, time_BD)
        if cache is not None:
            cache.length += keep
        h_BSD = self.norm(h_BSD)
        if self.film is not None and time_BD is not None:
            shift, scale = self.film(time_BD)[:, None].chunk(2, -1)
            h_BSD = h_BSD * (1 + scale) + shift
        return h_BSD

    def logits(self, h_BSD: Tensor) -> Tensor:
        """[..., D] -> [..., vocab]."""
        if self.head is not None:
            return self.head(h_BSD)
        return F.linear(h_BSD, self.embedding.weight[: self.vocab])

    def left_to_right(self, inputs_BS: Tensor) -> Mask:  # noqa: ARG002 - the same for all
        """The mask of autoregression."""
        return MaskSpec("causal", self.shape.attention_window)

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache for `capacity` cells of `batch` rows."""
        weight = self.norm.weight
        return Cache(self.shape, batch, capacity, dtype=weight.dtype, device=weight.device)

    def _rotations(self, length: int, device: torch.device, positions: Positions | None) -> Rotations:
        if positions is not None:
            query = rotation(positions.asked, self.shape.head_dim, self.shape.rope_base)
            if positions.held is positions.asked:
                return Rotations(query, query)
            return Rotations(query, rotation(positions.held, self.shape.head_dim, self.shape.rope_base))
        key = (length, str(device))
        if self._rotation is None or self._rotation[0] != key:
            with torch.inference_mode(False):  # the cache outlives the call, and training may need it next
                places = torch.arange(length, device=device)
                self._rotation = key, rotation(places, self.shape.head_dim, self.shape.rope_base)
        return Rotations(self._rotation[1], self._rotation[1])


def _cached(kernel: Attention, cache: Cache, layer: int) -> Attention:
    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
        return kernel(q, *cache.extend(layer, k, v), mask)

    return attend


@torch.no_grad()
def initialise(model: FlatModel, seed: int) -> None:
    """Normal weights with deviation 1/sqrt(fan-in), residual outputs shrunk by sqrt(2 L), modulations and head at zero.

    A zero head starts training at exactly the uniform distribution. All rows of the embedding share one random
    vector: without biases a key has no part that every symbol shares, and a query no way to ask for a position alone;
    masked models then sit on the unigram plateau (measured: LOG.md). Deterministic in `seed` on any device.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    width, residual = model.shape.width, 1 / math.sqrt(2 * model.shape.layers)
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            weight.fill_(1.0)
        elif isinstance(model.embedding, DigitEmbedding) and name == "embedding.weight":
            places = len(weight)
            rows = normal(*weight.shape) + normal(places, 1, weight.shape[2])
            weight.copy_(rows * places**-0.5 if model.embedding.merge == "sum" else rows)
        elif name == "embedding.weight":
            rows = normal(*weight.shape) + normal(width)
            weight.copy_(rows if model.head is not None else rows * width**-0.5)
        elif name == "head.weight" or "film" in name:
            weight.zero_()
        else:
            scale = weight.shape[1] ** -0.5
            if name.endswith(("attention.out.weight", "ffn.down.weight")):
                scale *= residual
            weight.copy_(normal(*weight.shape) * scale)
