"""A Byte Latent Transformer over patches that are hidden and revealed whole.

The encoder reads each patch by itself, so that a latent tells of its own bytes alone. The latent transformer sees the
latents of the patches that are there, by their number and not by the place of their bytes, and for a hidden one a
vector that is the same for all. The decoder writes a patch from its latent: first byte, next bytes, end.
"""

import torch
from torch import Tensor, nn

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.patches import Patches
from isobyte.backbone.byte_ids import BOS, EOS, OFFSET, ids_of
from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import BIDIRECTIONAL, CAUSAL, Dense, Mask, MaskSpec, PatchesHidden, document_mask
from isobyte.config.backbone_blt import BltConfig

END = 256
"""What is predicted after the last byte of a patch."""


class PatchwiseNetwork(BltModel):
    """Shown windows of bytes and a mask `PatchesHidden`, it predicts bytes 0..255 and the end."""

    vocab = 256
    codes = None

    def __init__(self, shape: BltConfig, *, attention: str = "sdpa", both_ways: bool) -> None:
        super().__init__(shape, attention=attention)
        self.both_ways = both_ways
        self.unseen = nn.Parameter(torch.zeros(shape.latent.width)) if both_ways else None
        """In the place of the latent of a hidden patch."""
        self.first = nn.Parameter(torch.zeros(shape.decoder.width))
        """What the cell holds that is asked for the first byte of a patch."""

    def forward(
        self,
        inputs_BS: Tensor,
        mask: Mask,
        *,
        positions: Positions | None = None,  # noqa: ARG002 - a patch is known by its number
        time_B: Tensor | None = None,
        cache: None = None,
        keep: int = 0,
    ) -> Tensor:
        """Hidden states [B, T + M, D]: after each byte, then of each patch's first cell."""
        assert isinstance(mask, PatchesHidden)
        assert time_B is None
        assert cache is None
        assert not keep
        always = torch.ones_like(mask.starts[:, :1])  # BOS is a patch, and the last patch ends with the window
        patches = Patches.of(torch.cat((always, mask.starts, always), 1))
        bos = torch.full_like(inputs_BS[:, :1], BOS)
        ids_BT = torch.cat((bos, ids_of(inputs_BS)), 1)
        patch_BT = torch.cat((torch.zeros_like(bos), 1 + mask.patch_BT), 1)
        place_BT = mask.place_BT  # in its patch: not even rounding tells of the lengths of patches before it
        turns = self.encoder.stack.rotations_at(nn.functional.pad(place_BT, (1, 0)))
        h_BTE, patches_BMX = self.encoder(ids_BT, patches, patch_BT, turns)
        latents_BMG = self._latents(patches_BMX, mask)
        start_BTD = self.decoder.start(ids_BT, h_BTE)[:, 1:]
        first_BMD = self.first.expand(len(inputs_BS), patches.per_row - 1, -1)
        x_BSD = torch.cat((start_BTD, first_BMD.to(start_BTD.dtype)), 1)
        local = self.decoder.stack
        visible = mask.dense(x_BSD.shape[1], x_BSD.device)
        if local.shape.attention_window is not None:
            visible = visible & MaskSpec("causal", local.shape.attention_window).dense(x_BSD.shape[1], x_BSD.device)
        rotations = local.rotations_at(nn.functional.pad(place_BT, (0, patches.per_row - 1)))
        return self.decoder.over(x_BSD, latents_BMG, self._read(mask, patches.per_row), Dense(visible), rotations)

    def logits(self, h_BSD: Tensor) -> Tensor:
        """[..., D] -> [..., 257]: bytes and the end."""
        return nn.functional.linear(h_BSD, torch.cat((self.head.weight[OFFSET:], self.head.weight[EOS : EOS + 1])))

    def left_to_right(self, inputs_BS: Tensor) -> Mask:
        """Patches from left to right."""
        return PatchesHidden(self.grouping(inputs_BS), None)

    def new_cache(self, batch: int, capacity: int) -> None:
        """There is none: patches are written whole."""

    @torch.no_grad()
    def grouping(self, x_BT: Tensor) -> Tensor:
        """[B, T] bool: where patches open in windows of bytes, each by itself."""
        bos = torch.full_like(x_BT[:, :1], BOS)
        return self.patcher.starts(torch.cat((bos, ids_of(x_BT)), 1))[:, 1:-1]

    def _latents(self, patches_BMX: Tensor, mask: PatchesHidden) -> Tensor:
        """[B, 1 + M, G]: of BOS and of every patch, hidden ones as what the others make of them."""
        h_BMG = self.latent.enter(patches_BMX)
        if not self.both_ways:
            assert mask.hidden_BM is None
            return self.latent.over(h_BMG, CAUSAL)
        assert mask.hidden_BM is not None
        assert self.unseen is not None
        hidden_BM = nn.functional.pad(mask.hidden_BM, (1, 0))
        h_BMG = torch.where(hidden_BM[..., None], self.unseen.to(h_BMG.dtype), h_BMG)
        there_BM = torch.arange(h_BMG.shape[1], device=h_BMG.device) <= mask.count_B[:, None]
        return self.latent.over(h_BMG, Dense(document_mask(there_BM, BIDIRECTIONAL)))

    def _read(self, mask: PatchesHidden, per_row: int) -> Tensor:
        """[B S] the latent that each cell reads: its own patch's, or from left to right that of the one before."""
        patch_BS = mask.patch_BS
        row = torch.arange(len(patch_BS), device=patch_BS.device)[:, None] * per_row
        return (patch_BS + self.both_ways + row).flatten()
