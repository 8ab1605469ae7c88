"""A Byte Latent Transformer in the place of a flat network over bytes."""

from torch import Tensor

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.state import State
from isobyte.backbone.byte_ids import OFFSET, ids_of
from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import Mask, Patched


class BltNetwork(BltModel):
    """It is shown symbols 0..255, and 256 for the beginning, from left to right, and asked for bytes. In the cells of
    blocks 256 is what is hidden."""

    vocab = 256
    codes = None

    def forward(
        self,
        inputs_BS: Tensor,
        mask: Mask,
        *,
        positions: Positions | None = None,  # noqa: ARG002 - they are those of the bytes, whatever is said of them
        time_B: Tensor | None = None,
        cache: State | None = None,
        keep: int = 0,
    ) -> Tensor:
        """As a flat network over bytes, from left to right: hidden states [B, S, D].

        With a cache the S bytes come after those it holds, and all of them stay in it.
        """
        assert mask.kind in ("causal", "patched")
        assert time_B is None
        if cache is not None:
            assert keep == inputs_BS.shape[1]
            return cache.feed(ids_of(inputs_BS))
        if not isinstance(mask, Patched) or mask.blocks is None:
            return self.hidden(ids_of(inputs_BS), mask.starts if isinstance(mask, Patched) else None)
        text, cells_BC = inputs_BS.tensor_split([mask.starts.shape[1] - 1], 1)
        return self.hidden(ids_of(text), mask.starts, mask.blocks, cells_BC + OFFSET)

    def left_to_right(self, inputs_BS: Tensor) -> Mask:
        """The mask of autoregression: where patches open in windows of symbols."""
        return Patched(self.patcher.starts(ids_of(inputs_BS)))

    def new_cache(self, batch: int, capacity: int) -> State:
        """An empty cache for `capacity` bytes of `batch` rows."""
        return State(self, batch, capacity)
