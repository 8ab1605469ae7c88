"""A model's weights, laid out for decoding byte by byte."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from isobyte.backbone import half
from isobyte.backbone.blt.cross_layers import CrossLayers
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.few_rows import RowStack
from isobyte.backbone.flat import FlatModel
from isobyte.backbone.products import Product, suits

Span = tuple[int, int, int]
"""Bytes of a patch: (text, place of the first, place after the last)."""


class Packed:
    """What `State` needs of a model; made once, it serves any number of states while the weights stay as they are."""

    def __init__(self, model: BltModel, *, halves: bool = True) -> None:
        """Weights that are all fp16 numbers are kept so where that is possible, unless `halves` is False."""
        shape = model.shape
        self.model = model
        self.halved = halves and half.possible(model) and half.is_half(model)
        self.width = half.WIDTH if self.halved else model.head.weight.element_size()
        """Bytes of a number in the matrices."""
        times, stack = partial(Product.of, halved=self.halved), partial(RowStack, halved=self.halved)
        self.encoder = stack(model.encoder.stack.blocks, shape.encoder)
        self.poolers = CrossLayers(model.encoder.cross, halved=self.halved)
        self.pool = times(model.encoder.pool.weight)
        enter = model.latent.enter
        self.enter = times(enter.weight) if isinstance(enter, torch.nn.Linear) else None
        self.latent = stack(model.latent.stack.blocks, shape.latent)
        self.vectors = times(model.decoder.enter.weight)
        self.readers = CrossLayers(model.decoder.cross, halved=self.halved)
        self.decoder = stack(model.decoder.stack.blocks, shape.decoder, readers=self.readers)
        self.scorer: RowStack | None = None
        scorer = model.patcher.scorer
        if isinstance(scorer, FlatModel):
            self.scorer = stack(scorer.blocks, scorer.shape)
            head = scorer.embedding.weight[: scorer.vocab] if scorer.head is None else scorer.head.weight
            self.scorer_head = times(head, scorer.norm.weight, scorer.norm.eps)
        if half.possible(model):
            self._warm()

    @torch.inference_mode()
    def _warm(self) -> None:
        """Have loops compiled, or read from disk, before a text waits for them."""
        from isobyte.backbone.compiling import use_threads

        use_threads()
        like, shape = self.model.head.weight, self.model.shape
        self.latents_in(like.new_zeros(self.model.encoder.pools, 1, 1, shape.encoder.width), [(0, 0, 1)])
        self.latent_kv(like.new_zeros(1, shape.latent.width))
        for stack in (self.encoder, self.latent, self.decoder, self.scorer):
            if stack is not None:
                stack.warm()
        if self.scorer is not None:
            self.scorer_head(like.new_zeros(1, self.scorer.shape.width))

    def latents_in(self, hidden_NBRE: Tensor, spans: list[Span]) -> Tensor:
        """What goes into the latent transformer [P, G] of patches, by their bytes' states after each layer that pools:
        that of place p of text b is hidden_NBRE[:, b, p modulo R]."""
        x_PKE = self._pooled(hidden_NBRE, spans)
        return x_PKE.flatten(1) if self.enter is None else self.enter(x_PKE.flatten(1))

    def _pooled(self, hidden_NBRE: Tensor, spans: list[Span]) -> Tensor:
        """The k vectors [P, k, E]."""
        lengths, vectors = [end - start for _, start, end in spans], self.model.encoder.latents
        if suits(hidden_NBRE, max(sum(lengths), vectors * len(spans))):
            from isobyte.backbone.compiled import pooled

            x_PKE = np.empty((len(spans), vectors, hidden_NBRE.shape[3]), np.float32)
            pooled(hidden_NBRE.numpy(), np.array(spans), self.pool.array, tuple(self.poolers.weights), x_PKE)
            return torch.from_numpy(x_PKE)
        rows, starts, ends = torch.tensor(spans, device=hidden_NBRE.device).t()[..., None]
        places_PL = starts + torch.arange(max(lengths), device=starts.device)
        layers_NPLE = hidden_NBRE[:, rows, places_PL % hidden_NBRE.shape[2]]
        first, seen_PL = layers_NPLE[0], None
        if min(lengths) < max(lengths):
            seen_PL = places_PL < ends
            first = first.masked_fill(~seen_PL[..., None], float("-inf"))
        x_PKE = self.pool(first.amax(1)).view(len(first), vectors, -1)
        for layer, h_PLE in enumerate(layers_NPLE):
            x_PKE = self.poolers.read_by_patches(layer, x_PKE, h_PLE, seen_PL)
        return x_PKE

    def latent_kv(self, latents_PG: Tensor) -> Tensor:
        """Keys and values of every cross layer of the decoder: [P, layers, 2, k, D]."""
        patches, count = len(latents_PG), self.model.decoder.latents
        if suits(latents_PG, patches * count):
            from isobyte.backbone.compiled import held

            found = np.empty((patches, len(self.readers), 2, count, self.model.shape.decoder.width), np.float32)
            held(latents_PG.contiguous().numpy(), self.vectors.array, tuple(self.readers.weights), found)
            return torch.from_numpy(found)
        vectors = self.vectors(latents_PG).view(patches * count, -1)
        found = torch.stack([each(vectors) for each in self.readers.key_value.products])
        return found.view(len(found), patches, count, 2, -1).permute(1, 0, 3, 2, 4)
