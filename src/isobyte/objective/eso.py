"""Eso-LM (arXiv 2506.01928): masked diffusion of some symbols, then the others from left to right.

Diffusion reveals symbols until a share alpha0 is visible on average; the number left over is binomial, and those
are revealed one by one. Both phases are one network: `cached` makes what is visible see only what was revealed
before it, so that its keys and values never change.
"""

import torch
from torch import Tensor

from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import BIDIRECTIONAL, Ranked
from isobyte.config.objective import EsoConfig
from isobyte.objective.base import Question, View
from isobyte.objective.draw import Draw


def diffusion_view(x_BT: Tensor, masked_BT: Tensor, key_BT: Tensor, vocab: int, *, cached: bool) -> View:
    """The masked symbols from the visible ones, all at once. `key_BT` orders the visible ones (ascending)."""
    inputs = torch.where(masked_BT, vocab, x_BT)
    if not cached:
        return View(inputs, BIDIRECTIONAL)
    return View(inputs, Ranked(_reveal_ranks(masked_BT, key_BT), masked_BT))


def sequential_view(x_BT: Tensor, masked_BT: Tensor, key_BT: Tensor, vocab: int, *, cached: bool) -> View:
    """The masked symbols from left to right: two copies, [all hidden; clean], each masked one sees the visible ones
    and the masked ones before it."""
    length = x_BT.shape[1]
    rank_BT = _reveal_ranks(masked_BT, key_BT)
    if not cached:
        rank_BT = torch.where(masked_BT, rank_BT, -1)
    inputs = torch.cat((torch.full_like(x_BT, vocab), x_BT), 1)
    noisy = torch.arange(2 * length, device=x_BT.device) < length
    places = torch.arange(length, device=x_BT.device).repeat(2)
    return View(inputs, Ranked(rank_BT.repeat(1, 2), noisy[None]), Positions(places, places), asked=length)


def _reveal_ranks(masked_BT: Tensor, key_BT: Tensor) -> Tensor:
    """[B, T] distinct ranks: the visible symbols by their keys, then the masked ones from left to right."""
    places = torch.arange(masked_BT.shape[1], device=masked_BT.device)
    return torch.where(masked_BT, 2.0 + places, key_BT).argsort(-1).argsort(-1)


def eso_questions(config: EsoConfig, x_BT: Tensor, vocab: int, draw: Draw) -> list[Question]:
    """The diffusion term on some rows of the global batch and the sequential term on the others, each made up for."""
    length, device, share = x_BT.shape[1], x_BT.device, config.diffusion_rows
    diffuse_B = torch.from_numpy((draw.index() * share) % 1 + share >= 1)
    t_B = torch.from_numpy(draw.times()).float()
    p_B = torch.where(diffuse_B, 1 - config.alpha0 * (1 - t_B), 1 - config.alpha0)
    masked_BT = (torch.from_numpy(draw.uniform("mask", length)) < p_B[:, None]).to(device)
    key_BT = torch.from_numpy(draw.uniform("key", length)).to(device)
    questions = []
    for rows, view, weight_B, part in (
        (diffuse_B, diffusion_view, config.alpha0 / p_B, share),
        (~diffuse_B, sequential_view, torch.ones_like(p_B), 1 - share),
    ):
        if not rows.any():
            continue
        x, masked = x_BT[rows], masked_BT[rows]
        weights = masked * (weight_B[rows, None] / part).to(device)
        questions.append(Question(view(x, masked, key_BT[rows], vocab, cached=config.cached), x, weights))
    return questions
