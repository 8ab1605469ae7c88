"""Networks of whole patches small enough to ask everything, and an oracle that answers as well as can be."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isobyte.backbone.blt.patchwise import END, PatchwiseNetwork
from isobyte.backbone.mask import PatchesHidden
from isobyte.backbone.patching.patcher import NgramTable
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.patching import BytePatching, EntropyPatching, NgramScorer, Patching, SpacePatching, StaticPatching
from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.likelihood.oracle import all_sequences
from isobyte.likelihood.patchwise import hidden_patches_nats
from isobyte.objective.base import LogProbs, View
from isobyte.objective.patchwise import Grouping, grouping_of
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

LETTERS = (32, 97)
RULES: dict[str, Patching] = {
    "static": StaticPatching(size=2),
    "static-capped": StaticPatching(size=3, max_length=2),
    "byte": BytePatching(),
    "space": SpacePatching(),
    "space-capped": SpacePatching(max_length=3),
    "entropy": EntropyPatching(scorer=NgramScorer(context=1), threshold=0.5),
    "entropy-capped": EntropyPatching(scorer=NgramScorer(context=1), threshold=0.5, max_length=3),
}
DECIDED = tuple(name for name in RULES if not name.startswith(("static", "byte")))
"""Rules of which the text decides."""


def shape_of(patching: Patching, *, window: int | None = None, **fields: Any) -> BltConfig:
    local = FlatConfig(layers=2, width=8, heads=2, ffn=12, attention_window=window)
    return BltConfig(
        encoder=local,
        latent=FlatConfig(layers=2, width=12, heads=2, ffn=16),
        decoder=local,
        patching=patching,
        hash_sizes=(),
        **fields,
    )


def patch_net(
    patching: Patching, *, both_ways: bool, seed: int = 0, attention: str = "sdpa", **fields: Any
) -> PatchwiseNetwork:
    """A float64 net of confident random opinions. An entropy rule opens a patch after every `a`."""
    model = PatchwiseNetwork(shape_of(patching, **fields), attention=attention, both_ways=both_ways).double().eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=draw, dtype=weight.dtype)
            if name in ("unseen", "first") or name.endswith("embedding.weight"):
                weight.copy_(noise)
            elif weight.ndim == 1:
                weight.copy_(1 + 0.3 * noise)
            else:
                weight.copy_(noise * 1.5 * weight.shape[1] ** -0.5)
        if isinstance(model.patcher.scorer, NgramTable):
            model.patcher.scorer.entropy[4 + 97] = 1.0
    return model


def grouping(patching: Patching) -> Grouping:
    found = grouping_of(patch_net(patching, both_ways=True))
    assert found is not None
    return found


def all_windows(length: int) -> Tensor:
    """[2^T, T] bytes."""
    return torch.tensor(LETTERS)[all_sequences(2, length)]


def among_letters(log_probs: LogProbs, *, empty: bool = True) -> LogProbs:
    """The network's opinion renormalised over the letters and the end; not `empty`: no patch ends before it begins."""
    symbols = torch.tensor([*LETTERS, END])

    def asked(view: View) -> Tensor:
        log_BSV = log_probs(view).double()
        some = log_BSV[..., symbols].clone()
        if not empty:
            some[:, view.inputs.shape[1] :, -1] = -torch.inf
        out = torch.full_like(log_BSV, -torch.inf)
        out[..., symbols] = some.log_softmax(-1)
        return out

    return asked


def patch_bound(log_probs: LogProbs, grouping: Grouping, x_BT: Tensor) -> Tensor:
    """[B] float64 nats that `patch-count` estimates, without those of the number of patches: every hidden set."""
    starts, rows, hidden = grouping.starts(x_BT), [], []
    for row, number in enumerate(starts.sum(1).tolist()):
        masks = all_sequences(2, number).bool()
        hidden.append(torch.nn.functional.pad(masks, (0, x_BT.shape[1] - number)))
        rows += [row] * len(masks)
    rows, hidden_NT = torch.tensor(rows), torch.cat(hidden)
    most = int(starts.sum(1).max())
    nats_N = hidden_patches_nats(log_probs, grouping, x_BT[rows], PatchesHidden(starts[rows], hidden_NT[:, :most]))
    total, count_N = torch.zeros(len(x_BT), dtype=torch.float64), hidden_NT.sum(1)
    for row in range(len(x_BT)):
        for k in range(1, int(starts[row].sum()) + 1):
            total[row] += nats_N[(rows == row) & (count_N == k)].mean() / k
    return total


def patches_of(x_T: Iterable[int], starts_T: Iterable[bool]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for byte, opens in zip(x_T, starts_T, strict=True):
        found = [*found, (byte,)] if opens else [*found[:-1], (*found[-1], byte)]
    return found


class PatchOracle:
    """p(next byte of a patch, or its end | what is shown of the others, how many there are, its bytes so far), exact,
    by enumeration of a source with `mass_N` on windows `x_NT`. From left to right it is not told how many there are."""

    def __init__(self, grouping: Grouping, x_NT: Tensor, mass_N: Tensor) -> None:
        self.texts = [
            (patches_of(x, s), p)
            for x, s, p in zip(x_NT.tolist(), grouping.starts(x_NT).tolist(), mass_N.tolist(), strict=True)
        ]
        self.known: dict[Any, Tensor] = {}

    def number_nats(self, numbers: Iterable[int]) -> Tensor:
        """-log p(M)."""
        found = [sum(p for text, p in self.texts if len(text) == n) for n in numbers]
        return -torch.tensor(found, dtype=torch.float64).log()

    def __call__(self, view: View) -> Tensor:
        mask = view.mask
        assert isinstance(mask, PatchesHidden)
        length = view.inputs.shape[1]
        out = torch.full((len(view.inputs), length + int(mask.count_B.max()), END + 1), -torch.inf).double()
        for row, (x, starts) in enumerate(zip(view.inputs.tolist(), mask.starts.tolist(), strict=True)):
            own, at = patches_of(x, starts), 0
            hidden = [True] * len(own) if mask.hidden_BM is None else mask.hidden_BM[row].tolist()
            for m, patch in enumerate(own):
                shown = {i: p for i, p in enumerate(own) if (i < m if mask.hidden_BM is None else not hidden[i])}
                number = None if mask.hidden_BM is None else len(own)
                for done in range((len(patch) + 1) * hidden[m]):
                    cell = at + done - 1 if done else length + m
                    out[row, cell] = self._next(number, tuple(shown.items()), m, patch[:done])
                at += len(patch)
        return out

    def _next(self, number: int | None, shown: tuple[Any, ...], m: int, so_far: tuple[int, ...]) -> Tensor:
        key = (number, shown, m, so_far)
        if key not in self.known:
            mass = torch.zeros(END + 1, dtype=torch.float64)
            for text, p in self.texts:
                fits = (number is None or len(text) == number) and len(text) > m and text[m][: len(so_far)] == so_far
                if fits and all(i < len(text) and text[i] == patch for i, patch in shown):
                    mass[text[m][len(so_far)] if len(text[m]) > len(so_far) else END] += p
            self.known[key] = (mass / mass.sum()).log()
        return self.known[key]


LOCAL = {"layers": 1, "width": 8, "heads": 2}
PATCHED = {
    "kind": "blt", "encoder": LOCAL, "decoder": LOCAL, "latent": LOCAL, "hash_sizes": [],
    "patching": {"kind": "space", "max_length": 6},
}  # fmt: skip
KINDS = ["patch_ar", "patch_masked"]


def train_kinds(root: Path) -> dict[str, Path]:
    """A run of each kind after four steps, in folders of `root`."""
    for kind in KINDS:
        config = RunConfig.model_validate(run_data(kind, steps=4) | {"backbone": PATCHED})
        prepared = prepare(config.data, config.representation, root / "data")
        train(config, prepared, root / kind, runtime=Runtime(threads=1))
    return {kind: root / kind for kind in KINDS}
