"""The Byte Latent Transformer: bytes -> patches -> bytes."""

import torch
from torch import Tensor, nn

from isobyte.backbone.attention import ATTENTION, Attention, explicit
from isobyte.backbone.blt.cross import CrossAttention, Crosses, pool_max
from isobyte.backbone.blt.hashing import HashEmbedding, grams, within_document
from isobyte.backbone.blt.patches import Patches
from isobyte.backbone.byte_ids import COUNT, MASK, OFFSET, documents_of
from isobyte.backbone.layers import Block, Blocks, RMSNorm, Rotations, rotation
from isobyte.backbone.mask import Blocked, Dense, Mask, MaskSpec, PatchBlocks, document_mask
from isobyte.backbone.patching.patcher import Patcher
from isobyte.config.backbone_blt import BltConfig
from isobyte.config.backbone_flat import FlatConfig


class Stack(nn.Module):
    """Blocks in a row, causal over places 0.. or over the last `attention_window` of them."""

    def __init__(self, shape: FlatConfig) -> None:
        super().__init__()
        self.shape = shape
        self.blocks = Blocks(Block(shape, time_conditioning=False) for _ in range(shape.layers))

    def mask(self, documents_BS: Tensor | None) -> Mask:
        """What a place may see, within its document where the text has several."""
        spec = MaskSpec("causal", self.shape.attention_window)
        return spec if documents_BS is None else Dense(document_mask(documents_BS, spec))

    def rotations(self, length: int, device: torch.device) -> Rotations:
        return self.rotations_at(torch.arange(length, device=device))

    def rotations_with(self, blocks: PatchBlocks, length: int) -> Rotations:
        """Of a text of `length` and of the cells of blocks, which lie where the bytes lie that they stand for."""
        places_BC = blocks.places_BC.clamp(min=0)
        text = torch.arange(length, device=places_BC.device).expand(len(places_BC), -1)
        return self.rotations_at(torch.cat((text, places_BC), 1))

    def rotations_at(self, places: Tensor) -> Rotations:
        """Of places [S] or [B, S]."""
        turn = rotation(places, self.shape.head_dim, self.shape.rope_base)
        return Rotations(turn, turn)


class Encoder(nn.Module):
    """Bytes to hidden states, and to k vectors per patch (arXiv 2412.09871, 3.2)."""

    def __init__(self, shape: BltConfig, attention: Attention) -> None:
        super().__init__()
        local, self.latents, self.kernel = shape.encoder, shape.latents, attention
        self.embedding = nn.Embedding(COUNT, local.width)
        self.hashes = HashEmbedding(shape) if shape.hash_sizes else None
        self.stack = Stack(local)
        self.pool = nn.Linear(local.width, shape.latents * local.width, bias=False)
        self.pools = 1 if shape.encoder_cross_layers == "last" else local.layers
        heads = shape.encoder_cross_heads
        self.cross = Crosses(_cross(shape, local, heads, attention) for _ in range(self.pools))

    def embed(
        self, ids_BS: Tensor, grams_BSN: Tensor | None, position_BS: Tensor, *, documents: bool = False
    ) -> Tensor:
        """[B, S, E]: bytes and, where there are tables, the n-grams that end in them; with several `documents` in the
        text, none that reaches back into an earlier one."""
        e_BSE = self.embedding(ids_BS)
        if self.hashes is None or grams_BSN is None:
            return e_BSE
        if documents:
            grams_BSN = within_document(grams_BSN)
        return (e_BSE + self.hashes(grams_BSN, position_BS)) * self.hashes.scale

    def forward(
        self, ids_BT: Tensor, patches: Patches, documents_BT: Tensor | None, rotations: Rotations | None = None
    ) -> tuple[Tensor, Tensor]:
        """Hidden states [B, T, E] and patches [B, M, k E]; `rotations` are those of the bytes' places in the text, if
        left out."""
        places = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
        found = grams(ids_BT, self.hashes.reach) if self.hashes else None
        h_BTE = self.embed(ids_BT, found, places, documents=documents_BT is not None)
        mask = self.stack.mask(documents_BT)
        rotations = rotations or self.stack.rotations(ids_BT.shape[1], ids_BT.device)
        pooled = None
        for layer, block in enumerate(self.stack.blocks):
            h_BTE = block(h_BTE, rotations, mask, self.kernel, None)
            nth = layer - (len(self.stack.blocks) - self.pools)
            if nth >= 0:
                pooled = self.pooled(h_BTE.flatten(0, 1), patches.of_byte_N, len(ids_BT) * patches.per_row, nth, pooled)
        assert pooled is not None
        return h_BTE, pooled.view(len(ids_BT), patches.per_row, -1)

    def pooled(self, h_NE: Tensor, patch_N: Tensor, count: int, nth: int, before: Tensor | None) -> Tensor:
        """The k vectors [P, k, E] of `count` patches: pooled from their bytes, or as they were, then told by the bytes.

        Where several layers pool, the first makes the queries and each later one goes on with them.
        """
        asking = before
        if asking is None:
            asking = self.pool(pool_max(h_NE, patch_N, count)).unflatten(-1, (self.latents, -1))
        return self.cross[nth].read_by_patches(asking, h_NE, patch_N)


class LatentTransformer(nn.Module):
    """A causal transformer over patches; the last layer's states are its output, with no norm."""

    def __init__(self, shape: BltConfig, attention: Attention) -> None:
        super().__init__()
        given, self.kernel = shape.latents * shape.encoder.width, attention
        same = given == shape.latent.width
        self.enter = nn.Identity() if same else nn.Linear(given, shape.latent.width, bias=False)
        self.stack = Stack(shape.latent)

    def forward(self, patches_BMX: Tensor, documents_BM: Tensor | None) -> Tensor:
        """[B, M, k E] -> [B, M, G]."""
        return self.over(self.enter(patches_BMX), self.stack.mask(documents_BM))

    def over(self, h_BMG: Tensor, mask: Mask) -> Tensor:
        """The blocks alone, by another mask than a causal one."""
        rotations = self.stack.rotations(h_BMG.shape[1], h_BMG.device)
        for block in self.stack.blocks:
            h_BMG = block(h_BMG, rotations, mask, self.kernel, None)
        return h_BMG


class Decoder(nn.Module):
    """Hidden states of bytes and latents of patches -> normed hidden states of what comes next."""

    def __init__(self, shape: BltConfig, attention: Attention, *, cells: bool) -> None:
        super().__init__()
        local, self.latents, self.kernel = shape.decoder, shape.latents, attention
        self.encoded = shape.decoder_input == "encoder_hidden"
        self.embedding = None if self.encoded and not cells else nn.Embedding(COUNT, local.width)
        self.mask = nn.Parameter(torch.zeros(local.width)) if cells else None
        """What a hidden cell holds."""
        self.enter = nn.Linear(shape.latent.width, shape.latents * local.width, bias=False)
        self.stack = Stack(local)
        reads = local.layers if shape.decoder_cross_layers == "all" else 1
        self.cross = Crosses(_cross(shape, local, shape.decoder_cross_heads, attention) for _ in range(reads))
        self.norm = RMSNorm(local.width, local.norm_eps)

    def start(self, ids_BS: Tensor, encoded_BSE: Tensor) -> Tensor:
        """What the first layer is given, [B, S, D]."""
        if self.encoded:
            return encoded_BSE
        assert self.embedding is not None
        return self.embedding(ids_BS)

    def start_cells(self, ids_BC: Tensor) -> Tensor:
        """As `start`, of the cells of blocks, which no encoder has seen: [B, C, D]."""
        assert self.embedding is not None
        assert self.mask is not None
        return torch.where((ids_BC == MASK)[..., None], self.mask, self.embedding(ids_BC.clamp(max=COUNT - 1)))

    def latent_vectors(self, latents: Tensor) -> Tensor:
        """[..., G] -> [..., k, D]."""
        return self.enter(latents).unflatten(-1, (self.latents, -1))

    def forward(
        self,
        x_BSD: Tensor,
        latents_BMG: Tensor,
        patches: Patches,
        documents_BT: Tensor | None,
        blocks: PatchBlocks | None = None,
    ) -> Tensor:
        """[B, S, D]: of the T bytes, and of the cells of `blocks`, which come after them in x."""
        batch, length = x_BSD.shape[:2]
        read_N = patches.read_N
        if blocks is None:
            mask, rotations = self.stack.mask(documents_BT), self.stack.rotations(length, x_BSD.device)
        else:
            assert documents_BT is None, "blocks are trained on windows of one document"
            text = length - blocks.places_BC.shape[1]
            mask = Blocked(text, blocks, self.stack.shape.attention_window)
            rotations = self.stack.rotations_with(blocks, text)
            latent_BJ = torch.arange(batch * patches.per_row, device=x_BSD.device).view(batch, -1)
            read_N = torch.cat((read_N.view(batch, -1), latent_BJ.repeat_interleave(blocks.size, 1)), 1).flatten()
        return self.over(x_BSD, latents_BMG, read_N, mask, rotations)

    def over(self, x_BSD: Tensor, latents_BMG: Tensor, read_N: Tensor, mask: Mask, rotations: Rotations) -> Tensor:
        """Cells that each read the latent whose place among the B M `read_N` [B S] says."""
        vectors_PKD = self.latent_vectors(latents_BMG.flatten(0, 1))
        for layer, block in enumerate(self.stack.blocks):
            if layer < len(self.cross):
                cross = self.cross[layer]
                k, v = (each.index_select(0, read_N) for each in cross.held(vectors_PKD))
                x_BSD = cross.read_by_bytes(x_BSD.flatten(0, 1), k, v).view(x_BSD.shape)
            x_BSD = block(x_BSD, rotations, mask, self.kernel, None)
        return self.norm(x_BSD)


class BltModel(nn.Module):
    """Texts of 260 ids -> hidden states -> logits, through patches that the model's own patcher makes.

    With `cells` its decoder can be shown blocks with hidden bytes (BLT-D, arXiv 2605.08044).
    """

    def __init__(self, shape: BltConfig, *, attention: str = "sdpa", cells: bool = False) -> None:
        super().__init__()
        self.shape, kernel = shape, ATTENTION[attention]
        self.patcher = Patcher(shape.patching, documents=shape.document_mask, attention=attention)
        self.encoder = Encoder(shape, kernel)
        self.latent = LatentTransformer(shape, kernel)
        self.decoder = Decoder(shape, kernel, cells=cells)
        self.head = nn.Linear(shape.decoder.width, COUNT, bias=False)

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def blocks(self) -> list[nn.Module]:
        """Every transformer block that is trained."""
        return [*self.encoder.stack.blocks, *self.latent.stack.blocks, *self.decoder.stack.blocks]

    def hidden(
        self,
        ids_BT: Tensor,
        starts: Tensor | None = None,
        blocks: PatchBlocks | None = None,
        cells_BC: Tensor | None = None,
    ) -> Tensor:
        """Normed hidden states [B, T, D] of texts of ids; row t is asked for x_{t+1}.

        `starts` [B, T + 1] says where patches open, as the patcher would if left out. With `blocks` whose cells hold
        `cells_BC` [B, C], ids or MASK, [B, T + C] come out, and a cell is asked for what it stands for itself.
        """
        if starts is None:
            starts = self.patcher.starts(ids_BT)
        patches = Patches.of(starts)
        documents_BT = documents_of(ids_BT) if self.shape.document_mask else None
        documents_BM = None
        if documents_BT is not None:
            firsts = pool_max(documents_BT.flatten()[:, None], patches.of_byte_N, len(ids_BT) * patches.per_row)
            documents_BM = firsts.view(len(ids_BT), patches.per_row)
        h_BTE, patches_BMX = self.encoder(ids_BT, patches, documents_BT)
        latents_BMG = self.latent(patches_BMX, documents_BM)
        x_BSD = self.decoder.start(ids_BT, h_BTE)
        if cells_BC is not None:
            x_BSD = torch.cat((x_BSD, self.decoder.start_cells(cells_BC)), 1)
        return self.decoder(x_BSD, latents_BMG, patches, documents_BT, blocks)

    def id_logits(self, h: Tensor) -> Tensor:
        """[..., D] -> [..., 260]."""
        return self.head(h)

    def logits(self, h_BSD: Tensor) -> Tensor:
        """[..., D] -> [..., 256], of bytes alone."""
        return nn.functional.linear(h_BSD, self.head.weight[OFFSET:])


def _cross(shape: BltConfig, local: FlatConfig, heads: int | None, attention: Attention) -> CrossAttention:
    doubled = shape.cross_residual == "doubled"
    return CrossAttention(
        local.width, heads or local.heads, local.norm_eps, doubled=doubled, counted=attention is explicit
    )
