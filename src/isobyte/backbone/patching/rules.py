"""Where a patch opens. Every rule is predictive: whether x_{t+1} opens one follows from x_0..x_t.

A rule sees rows of a text, each with its own id and the one before it, and the entropy of what comes after either. The
same functions serve whole texts and single bytes. Source: arXiv 2412.09871, 2; the first bytes as in its released code:
x_0 (the beginning of the sequence) is a patch of its own, and x_1 opens the next.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.backbone.byte_ids import EOS, OFFSET
from isobyte.config.patching import BytePatching, EntropyPatching, Patching, SpacePatching, StaticPatching


@dataclass(frozen=True)
class Rows:
    """Rows [B, S] of a text: what a rule may know when it is asked about the byte after each."""

    position: Tensor
    id: Tensor
    before: Tensor
    """The id before; 0 where there is none."""
    entropy: Tensor | None = None
    """Nats of what comes after `id`, of rules that ask a scorer."""
    entropy_before: Tensor | None = None
    """Nats of `id` itself, given what came before it."""


def rows_of(ids_BT: Tensor, entropy_BT: Tensor | None = None) -> Rows:
    """The rows of whole texts."""
    places = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
    return Rows(places, ids_BT, _shifted(ids_BT), entropy_BT, None if entropy_BT is None else _shifted(entropy_BT))


def opens(
    rule: Patching, rows: Rows, threshold: Tensor | None, rise: Tensor | None, *, documents: bool = True
) -> Tensor:
    """[B, S] bool: does the byte after each row open a patch, lengths aside?

    With `documents` the first two ids after an end do, as those of the text do: so no byte reads a latent of an
    earlier document.
    """
    t = rows.position
    match rule:
        case BytePatching():
            found = torch.ones_like(t, dtype=torch.bool)
        case StaticPatching():
            found = t % rule.size == 0
        case SpacePatching():
            found = (_ends_word(rows.id) & ~_ends_word(rows.before)) | (rows.id < OFFSET)
        case EntropyPatching():
            found = _surprised(rule, rows, threshold, rise)
    found = found | (t == 0)
    return found | (rows.id == EOS) | (rows.before == EOS) if documents else found


def _surprised(rule: EntropyPatching, rows: Rows, threshold: Tensor | None, rise: Tensor | None) -> Tensor:
    assert rows.entropy is not None
    assert rows.entropy_before is not None
    t, rose = rows.position, rows.entropy - rows.entropy_before
    if rule.rule == "global":
        assert threshold is not None
        return rows.entropy > threshold
    assert rise is not None
    # the released code compares from H_1 on, and takes x_2 for risen
    if rule.rule == "monotonic":
        return (rose > rise) | (t == 1)
    assert threshold is not None
    return ((rose > rise) & (rows.entropy > threshold) & (t != 2)) | (t == 1)


def _ends_word(ids: Tensor) -> Tensor:
    """Bytes outside words: neither [0-9A-Za-z] nor the later bytes of a UTF-8 character; ids of no byte too."""
    byte = ids - OFFSET
    digit = (byte >= ord("0")) & (byte <= ord("9"))
    upper = (byte >= ord("A")) & (byte <= ord("Z"))
    lower = (byte >= ord("a")) & (byte <= ord("z"))
    return ~(digit | upper | lower | ((byte >= 0x80) & (byte < 0xC0)))


def capped(opens_BS: Tensor, position_BS: Tensor, start_B: Tensor, max_length: int | None) -> tuple[Tensor, Tensor]:
    """With patches of at most `max_length` bytes: [B, S] bool, and [B, S] where the patch begins that the byte after
    each row belongs to.

    `start_B` is where the patch of the first row's byte began. A patch that is too long is cut from its beginning on.
    """
    following = position_BS + 1
    latest = torch.where(opens_BS, following, start_B[:, None]).cummax(1).values
    if max_length is None:
        return opens_BS, latest
    offset = (following - latest) % max_length
    return opens_BS | (offset == 0), following - offset


def _shifted(x_BT: Tensor) -> Tensor:
    return torch.cat((torch.zeros_like(x_BT[:, :1]), x_BT[:, :-1]), 1)
