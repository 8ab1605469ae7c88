"""Text of networks that write whole patches, drawn patch by patch: each of them in one event, byte by byte to its end.

Ends are where the decoder draws them. Read again, a text may fall into other patches.
"""

import torch
from torch import Tensor

from isobyte.config.objective import PatchMaskedConfig, PatchwiseConfig
from isobyte.decode.noise import Noise
from isobyte.errors import UserError
from isobyte.objective.base import Network
from isobyte.objective.patchwise import Grouping
from isobyte.objective.walk import Reveal, Walk
from isobyte.objective.walk_patches import Lengths, Row, patch_walk, write


def patches_drawn(
    objective: PatchwiseConfig,
    network: Network,
    grouping: Grouping,
    x_WT: Tensor,
    noise: Noise,
    *,
    log_count_T: Tensor | None,
    left_to_right: bool,
) -> Walk:
    """`patch_ar`: windows x [W, T] with the bytes after what is given.

    `patch_masked`: windows [W, T'] of T bytes or so, the shorter ones with id `vocab` behind them: a number of patches,
    drawn by log-probabilities [T] or known, then each in an order that is all the same to the model, or from left to
    right. How long they are is theirs to say.

    Raises UserError for what is given to `patch_masked`, whose patches have no place before they are written.
    """
    if not isinstance(objective, PatchMaskedConfig):
        return patch_walk(network, grouping, x_WT, both_ways=False, drawn=True)
    if (x_WT < network.vocab).any():
        raise UserError(
            f"{objective.kind!r} hides whole patches, and where one begins is known when those before it are written",
            where="--prompt or --template",
            how="leave it out, or take a run of patch_ar or ar",
        )
    return _in_any_order(network, grouping, x_WT, noise, log_count_T, left_to_right)


def _in_any_order(
    network: Network, grouping: Grouping, x_WT: Tensor, noise: Noise, log_count_T: Tensor | None, left_to_right: bool
) -> Walk:
    (windows, length), device = x_WT.shape, x_WT.device
    lengths, every = Lengths.of(grouping, length, device), torch.arange(windows, device=device)
    if lengths.fixed is not None:
        numbers = [len(lengths.fixed)] * windows
    elif log_count_T is None:
        numbers = [1] * windows
    else:
        less = yield Reveal(every, torch.zeros_like(every), log_count_T.to(device).expand(windows, -1))
        numbers = (1 + less).tolist()
    keys_WT = noise.uniform("order", every[:, None], torch.arange(length, device=device))
    rows: list[Row] = []
    for number, keys_T in zip(numbers, keys_WT, strict=True):
        order = range(number) if left_to_right else keys_T[:number].argsort().tolist()
        row = Row(lengths, length=None, order=iter(order), count=number)
        row.asked = 1  # the number of patches
        rows.append(row)
    yield from write(network, rows, device, both_ways=True, drawn=True)
    longest = max(row.written for row in rows)
    texts = [row.text() + [network.vocab] * (longest - row.written) for row in rows]
    return torch.tensor(texts, device=device)
