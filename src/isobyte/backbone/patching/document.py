"""Patches of one text, however long."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.backbone.byte_ids import BOS, OFFSET
from isobyte.backbone.patching.calibrate import entropies
from isobyte.backbone.patching.patcher import Patcher
from isobyte.config.patching import EntropyPatching, FlatScorer, Scorer
from isobyte.errors import UserError

UNBOUNDED = 1 << 14
"""Bytes of a text up to which a scorer that looks back over all of it is asked."""


def document_ids(text: NDArray[np.unsignedinteger] | bytes) -> Tensor:
    """[1, n]: the beginning and all but the last of n bytes. `Patcher.starts` of it is [1, n + 1]: the beginning's own
    patch, and for each byte whether it opens one."""
    symbols = np.frombuffer(text, np.uint8) if isinstance(text, bytes) else text
    ids = torch.from_numpy(symbols[:-1].astype(np.int64) + OFFSET)
    return torch.cat((torch.tensor([BOS]), ids))[None]


def document_entropies(patcher: Patcher, ids_1T: Tensor, piece: int = 1024) -> Tensor | None:
    """`Patcher.entropies` of one text of any length, [1, T].

    A scorer is shown pieces, each with as much before it as the scorer can look back over, so only rounding differs
    from showing it all at once. Raises UserError for a long text and a scorer without an attention window.
    """
    length, ids_T = ids_1T.shape[1], ids_1T[0]
    if not isinstance(patcher.config, EntropyPatching):
        return None
    reach = _reach(patcher.config.scorer)
    if reach is None:
        if length > UNBOUNDED:
            raise UserError(
                f"the scorer sees all that came before, and a document has {length:,} bytes (at most {UNBOUNDED:,})",
                where="scorer",
                how="train one with attention_window, or take shorter texts",
            )
        return patcher.entropies(ids_1T)
    piece = max(piece, reach)
    shown = reach + piece
    if length <= shown:
        return patcher.entropies(ids_1T)
    more = -(-(length - shown) // piece)
    padded = torch.cat((ids_T, ids_T.new_zeros(shown + more * piece - length)))
    pieces_NS = padded.unfold(0, shown, piece)
    entropy_NS = entropies(patcher, pieces_NS)
    return torch.cat((entropy_NS[0], entropy_NS[1:, reach:].flatten()))[None, :length]


def document_bits(patcher: Patcher, text: NDArray[np.unsignedinteger] | bytes) -> NDArray[np.bool_]:
    """[n]: does each byte of a document open a patch? The beginning is before the first, which therefore does."""
    ids = document_ids(text).to(patcher.device)
    return patcher.starts_by(ids, document_entropies(patcher, ids))[0, 1:].cpu().numpy()


def _reach(scorer: Scorer) -> int | None:
    """How many bytes before its own a scorer's row depends on; None for all of them."""
    if not isinstance(scorer, FlatScorer):
        return scorer.context
    window = scorer.shape.attention_window
    return None if window is None else scorer.shape.layers * (window - 1)
