"""Whole patches: what an oracle pays, what sums to one, and which cheaper numbers would not."""

import math
from itertools import pairwise

import pytest
import torch
from small import binary_entropy
from torch import Tensor

from isobyte.backbone.blt.patchwise import END
from isobyte.backbone.mask import PatchesHidden
from isobyte.config.objective import PatchArConfig, PatchMaskedConfig
from isobyte.config.patching import StaticPatching
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.oracle import all_sequences
from isobyte.likelihood.patch_counts import PatchCounts
from isobyte.likelihood.patchwise import hidden_patches_nats
from isobyte.objective import patchwise
from isobyte.objective.base import LogProbs, View, network_log_probs
from patch_models import DECIDED, RULES, PatchOracle, all_windows, among_letters, grouping, patch_bound, patch_net

T, FLIP, BIASED = 5, 0.1, 0.3
X = all_windows(T)
BITS = all_sequences(2, T).double()
EVERY_RULE = pytest.mark.parametrize("rule", RULES)
DECIDED_RULE = pytest.mark.parametrize("rule", DECIDED)


def markov() -> Tensor:
    flips = (BITS[:, 1:] - BITS[:, :-1]).abs().sum(1)
    return 0.5 * FLIP**flips * (1 - FLIP) ** (T - 1 - flips)


SOURCES: dict[str, tuple[Tensor, float]] = {
    "iid": (BIASED ** BITS.sum(1) * (1 - BIASED) ** (T - BITS.sum(1)), T * binary_entropy(BIASED)),
    "all equal": ((BITS.sum(1) % T == 0).double() / 2, math.log(2)),
    "markov": (markov(), math.log(2) + (T - 1) * binary_entropy(FLIP)),
}


def exact(log_probs: LogProbs, rule: str, x_BT: Tensor = X) -> Tensor:
    settings = Settings(2, 0, 256, grouping=grouping(RULES[rule]))
    return build_estimator(PatchArConfig(), settings).nats(log_probs, x_BT, 0)[:, 0]


def numbers(rule: str, x_BT: Tensor = X) -> list[int]:
    return grouping(RULES[rule]).starts(x_BT).sum(1).tolist()


def kraft(nats: Tensor) -> float:
    return float((-nats).exp().sum())


def uniform(view: View) -> Tensor:
    assert isinstance(view.mask, PatchesHidden)
    cells = view.inputs.shape[1] + int(view.mask.count_B.max())
    return torch.full((len(view.inputs), cells, END + 1), -math.log(END + 1), dtype=torch.float64)


@EVERY_RULE
def test_t1_an_ignorant_network_pays_for_bytes_and_for_the_ends_that_are_not_known(rule: str) -> None:
    found = grouping(RULES[rule])
    capped = RULES[rule].max_length or T + 1
    paid = torch.zeros(len(X), dtype=torch.float64)
    open_end = paid.clone()
    for row, starts in enumerate(found.starts(X).tolist()):
        firsts = [t for t, opens in enumerate(starts) if opens] + [T]
        lengths = [b - a for a, b in pairwise(firsts)]
        paid[row] = 0 if rule not in DECIDED else sum(length < capped for length in lengths)
        open_end[row] = rule in DECIDED and lengths[-1] < capped
    each = math.log(257)
    torch.testing.assert_close(patch_bound(uniform, found, X), (T + paid) * each)
    torch.testing.assert_close(exact(uniform, rule), (T + paid - open_end) * each)


def test_t1_known_patches_of_one_length_have_no_variance() -> None:
    settings = Settings(8, 3, 256, grouping=grouping(StaticPatching(size=2)))
    nats = build_estimator(PatchMaskedConfig(), settings).nats(uniform, all_windows(4), 0)
    torch.testing.assert_close(nats, torch.full_like(nats, 4 * math.log(257)))


@EVERY_RULE
@pytest.mark.parametrize("source", SOURCES)
def test_t2_t3_t5_an_oracle_pays_what_a_text_is_worth(rule: str, source: str) -> None:
    """By every order of patches, so on average over orders too, once the number of patches is paid for."""
    mass, entropy = SOURCES[source]
    x, mass = X[mass > 0], mass[mass > 0]
    found = grouping(RULES[rule])
    oracle = PatchOracle(found, x, mass)
    bound = patch_bound(oracle, found, x) + oracle.number_nats(numbers(rule, x))
    torch.testing.assert_close(bound, -mass.log(), atol=1e-9, rtol=0)
    torch.testing.assert_close(exact(oracle, rule, x), -mass.log(), atol=1e-9, rtol=0)
    assert float(mass @ bound) == pytest.approx(entropy, abs=1e-9)


@torch.no_grad()
@EVERY_RULE
@pytest.mark.parametrize("seed", [0, 1])
def test_t8_random_networks_keep_kraft(rule: str, seed: int) -> None:
    """With the real code for the number of patches, fitted to other windows."""
    found = grouping(RULES[rule])
    masked = among_letters(network_log_probs(patch_net(RULES[rule], both_ways=True, seed=seed)))
    nats = patch_bound(masked, found, X)
    if rule in DECIDED:
        counts = PatchCounts.fit(found.starts(X[::3]))
        nats = nats + counts.nats(found.starts(X))
    assert 1e-4 < kraft(nats) <= 1 + 1e-12
    causal = among_letters(network_log_probs(patch_net(RULES[rule], both_ways=False, seed=seed)))
    assert 1e-4 < kraft(exact(causal, rule)) <= 1 + 1e-12


@torch.no_grad()
@DECIDED_RULE
def test_t8_left_to_right_what_is_missing_is_on_other_segmentations(rule: str) -> None:
    """All ways of cutting all windows into patches that are not longer than they may be are the leaves of the tree
    that is walked; those that the rule does not make, and patches without bytes, are what the sum lacks of one."""
    found, net = grouping(RULES[rule]), patch_net(RULES[rule], both_ways=False, seed=3)
    cuts = torch.cat((torch.ones(2 ** (T - 1), 1).bool(), all_sequences(2, T - 1).bool()), 1)
    longest = RULES[rule].max_length or T
    cuts = cuts[
        [max(map(len, "".join("|." if c else "." for c in row).split("|"))) <= longest for row in cuts.tolist()]
    ]
    x, starts = X.repeat_interleave(len(cuts), 0), cuts.repeat(len(X), 1)
    canonical = (starts == found.starts(x)).all(1)
    assert canonical.sum() == len(X)
    for empty in (False, True):
        log_probs = among_letters(network_log_probs(net), empty=empty)
        leaves = (-hidden_patches_nats(log_probs, found, x, PatchesHidden(starts, None))).exp()
        assert float(leaves[canonical].sum()) == pytest.approx(kraft(exact(log_probs, rule)), abs=1e-12)
        dead = _dead(log_probs, found, x, starts) if empty else 0.0
        assert float(leaves.sum()) + dead == pytest.approx(1, abs=1e-12)
        assert float(leaves[canonical].sum()) < 0.9, "this network would cut in many ways"


def _dead(log_probs: LogProbs, found: patchwise.Grouping, x: Tensor, starts: Tensor) -> float:
    """The mass of patches that end before they begin: of every beginning of a leaf once."""
    mask = PatchesHidden(starts, None)
    log_p = log_probs(View(x, mask))
    targets, weights = patchwise.patch_targets(x, starts), patchwise.patch_weights(found.rule, mask)
    said = log_p.gather(-1, targets[..., None])[..., 0].nan_to_num(neginf=0.0) * weights
    seen: dict[tuple[object, ...], float] = {}
    for row in range(len(x)):
        for m, place in enumerate(starts[row].nonzero().flatten().tolist()):
            before = said[row, :place].sum() + said[row, T : T + m].sum()
            key = (*x[row, :place].tolist(), *starts[row, :place].tolist())
            seen[key] = float((before + log_p[row, T + m, END]).exp())
    return sum(seen.values())


@DECIDED_RULE
def test_t8_an_unpaid_number_of_patches_exceeds_kraft(rule: str) -> None:
    """Expected failure: an oracle that is told the number for nothing has one for each number that there is."""
    found = grouping(RULES[rule])
    oracle = PatchOracle(found, X, SOURCES["iid"][0])
    unpaid = patch_bound(oracle, found, X)
    assert kraft(unpaid) == pytest.approx(len(set(numbers(rule))), abs=1e-9)
    assert len(set(numbers(rule))) > 1


@DECIDED_RULE
def test_t8_unpaid_ends_exceed_kraft_where_the_bytes_before_are_hidden(
    monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    """Expected failure: with every end taken for certain, an oracle's sum is more than one. From left to right it is
    not: these rules go by the bytes before, so that ends cost nothing but what a network wastes on others."""
    found = grouping(RULES[rule])
    oracle = PatchOracle(found, X, SOURCES["iid"][0])
    monkeypatch.setattr(patchwise, "certain", lambda _rule, mask: torch.ones_like(mask.starts))
    nats = patch_bound(oracle, found, X) + oracle.number_nats(numbers(rule))
    assert kraft(nats) > 1.01
    assert kraft(exact(oracle, rule)) == pytest.approx(1, abs=1e-9)


def test_t8_the_end_of_the_window_is_no_certain_end_of_a_hidden_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expected failure: free from left to right, it would say how long the last patch is before any other is known."""
    found = grouping(RULES["space"])
    oracle = PatchOracle(found, X, SOURCES["iid"][0])

    def last(_rule: object, mask: PatchesHidden) -> Tensor:
        return torch.arange(T).expand_as(mask.starts) == T - 1

    monkeypatch.setattr(patchwise, "certain", last)
    assert kraft(patch_bound(oracle, found, X) + oracle.number_nats(numbers("space"))) > 1.01


def test_t10_the_oracle_is_told_no_lengths() -> None:
    """Of a hidden patch only its own bytes, up to the cell that is asked: what the laws above compare networks with."""
    found = grouping(RULES["space"])
    oracle = PatchOracle(found, X, SOURCES["markov"][0])
    answers = []
    for text in ([32, 32, 97, 32, 97], [32, 97, 97, 32, 97], [32, 97, 32, 97, 97]):
        x = torch.tensor([text])
        starts = found.starts(x)
        assert int(starts.sum()) == 2
        answers.append(oracle(View(x, PatchesHidden(starts, torch.tensor([[True, True]])))))
    for m in (0, 1):
        assert answers[0][0, T + m].exp().sum() == pytest.approx(1)
        assert all(answer[0, T + m].equal(answers[0][0, T + m]) for answer in answers)
