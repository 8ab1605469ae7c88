"""What `patch-count` estimates, in halves and pieces, and the code for how many patches there are."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from isobyte.config.objective import PatchArConfig, PatchMaskedConfig
from isobyte.errors import UserError
from isobyte.likelihood import passes
from isobyte.likelihood.estimator import Settings, build_estimator, companions, estimators
from isobyte.likelihood.evaluate import evaluate
from isobyte.likelihood.oracle import all_sequences
from isobyte.likelihood.patch_counts import PatchCounts
from isobyte.objective.base import LogProbs, View, network_log_probs
from patch_models import DECIDED, RULES, all_windows, grouping, patch_bound, patch_net

MASKED, LONG = PatchMaskedConfig(), 12


def settings_of(rule: str, *, passes: int = 4, seed: int = 0, length: int = 5) -> Settings:
    found = grouping(RULES[rule])
    counts = PatchCounts.fit(found.starts(all_windows(length)[::3])) if rule in DECIDED else None
    return Settings(passes, seed, 256, counts=counts, grouping=found)


def network(rule: str) -> LogProbs:
    return network_log_probs(patch_net(RULES[rule], both_ways=True, seed=5))


def text(rows: int, seed: int = 0) -> Tensor:
    draw = torch.rand((rows, LONG), generator=torch.Generator().manual_seed(seed))
    return torch.where(draw < 0.3, 32, 97)


@torch.inference_mode()
@pytest.mark.parametrize("rule", RULES)
def test_t9_the_estimate_is_that_of_all_hidden_sets_and_the_number(rule: str) -> None:
    told, copies = settings_of(rule), 700
    assert told.grouping is not None
    log_probs, rows = network(rule), all_windows(5)[[11, 22]]
    expected = patch_bound(log_probs, told.grouping, rows)
    if told.counts is not None:
        expected = expected + told.counts.nats(told.grouping.starts(rows))
    nats = build_estimator(MASKED, told).nats(log_probs, rows.repeat_interleave(copies, 0), 0).view(2, copies, 2)
    for row in range(2):
        for half in range(2):
            error = float(nats[row, :, half].mean() - expected[row])
            assert abs(error) < 4 * float(nats[row, :, half].std()) / math.sqrt(copies) + 1e-9
        apart = torch.corrcoef(nats[row].T)[0, 1] if nats[row].std() > 1e-9 else torch.tensor(0.0)
        assert abs(float(apart)) < 4 / math.sqrt(copies), "the halves are drawn apart"


@torch.inference_mode()
@pytest.mark.parametrize("rule", ["static", "space", "entropy-capped"])
def test_two_seeds_agree_within_their_errors(rule: str) -> None:
    log_probs, windows = network(rule), [(text(96).numpy(), np.full(96, LONG))]
    found = [
        evaluate(log_probs, build_estimator(MASKED, settings_of(rule, passes=8, seed=seed)), windows) for seed in (1, 2)
    ]
    one, other = found
    assert one.bpb != other.bpb
    assert one.stderr is not None
    assert other.stderr is not None
    assert abs(one.bpb - other.bpb) < 4 * math.hypot(one.stderr, other.stderr)
    assert (one.kind, one.estimator, one.nfe) == ("bound", "patch-count", 8 * 96)


@torch.inference_mode()
@pytest.mark.parametrize("rule", ["static", "space"])
def test_pieces_and_neighbours_change_no_number(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """Rows are asked in pieces of whatever size, beside rows of more patches or fewer."""
    log_probs, x = network(rule), text(6)
    told = settings_of(rule, passes=6)
    whole = build_estimator(MASKED, told).nats(log_probs, x, 0)
    alone = torch.cat([build_estimator(MASKED, told).nats(log_probs, x[w : w + 1], w) for w in range(6)])
    torch.testing.assert_close(whole, alone, rtol=1e-9, atol=0)
    calls = []

    def counted(view: View) -> Tensor:
        calls.append(len(view.inputs))
        return log_probs(view)

    monkeypatch.setattr(passes, "cells_at_once", lambda _vocab: 5 * LONG)
    torch.testing.assert_close(build_estimator(MASKED, told).nats(counted, x, 0), whole, rtol=1e-9, atol=0)
    assert calls == [5] * 7 + [1]


@torch.inference_mode()
def test_a_last_window_that_is_shorter_is_scored_at_its_length() -> None:
    log_probs, told = network("space"), settings_of("space", length=8)
    windows = [(text(3)[:, :8].numpy(), np.full(3, 8)), (text(1, 9)[:, :3].numpy(), np.full(1, 3))]
    found = evaluate(log_probs, build_estimator(MASKED, told), windows)
    assert (found.bytes, found.windows) == (27, 4)
    exact = build_estimator(PatchArConfig(), told)
    causal = network_log_probs(patch_net(RULES["space"], both_ways=False))
    halves = exact.nats(causal, torch.from_numpy(windows[0][0]), 0)
    assert torch.equal(halves[:, 0], halves[:, 1])
    assert evaluate(causal, exact, windows).stderr == 0


def test_estimators_and_their_kinds() -> None:
    assert next(iter(estimators(MASKED))) == "patch-count"
    assert list(estimators(PatchArConfig())) == ["exact"]
    assert companions(MASKED) == companions(PatchArConfig()) == []
    told = settings_of("space")
    assert build_estimator(MASKED, told).kind == "bound"
    assert build_estimator(PatchArConfig(), told).kind == "exact"


@torch.inference_mode()
def test_a_number_that_the_text_decides_is_paid_or_refused() -> None:
    told = settings_of("space")
    unpaid = Settings(4, 0, 256, grouping=told.grouping)
    with pytest.raises(UserError, match="cost their number"):
        build_estimator(MASKED, unpaid).nats(network("space"), all_windows(5), 0)
    known = Settings(4, 0, 256, grouping=grouping(RULES["static"]))
    assert build_estimator(MASKED, known).nats(network("static"), all_windows(5), 0).isfinite().all()


def starts_with(numbers: list[int], length: int) -> Tensor:
    return torch.arange(length) < torch.tensor(numbers)[:, None]


@pytest.mark.parametrize("length", [1, 6, 9])
def test_counts_are_a_code_over_all_numbers_of_any_length(length: int) -> None:
    counts = PatchCounts.fit(starts_with([2, 2, 3, 6], 6))
    nats = counts.nats(starts_with(list(range(1, length + 1)), length))
    assert float((-nats).exp().sum()) == pytest.approx(1)
    if length == 6:
        smoothed = torch.tensor([0.5, 2.5, 1.5, 0.5, 0.5, 1.5], dtype=torch.float64) / 7
        torch.testing.assert_close(nats, -smoothed.log())
    else:
        torch.testing.assert_close(nats, torch.full_like(nats, math.log(length)))


def test_counts_look_at_numbers_alone() -> None:
    starts = all_sequences(2, 6).bool()[32:]
    counts = PatchCounts.fit(starts)
    assert counts.counts_T.tolist() == [math.comb(5, k) for k in range(6)]
    by_number = {int(n): float(v) for n, v in zip(starts.sum(1), counts.nats(starts), strict=True)}
    assert all(float(v) == by_number[int(n)] for n, v in zip(starts.sum(1), counts.nats(starts), strict=True))


def test_counts_survive_a_file_and_refuse_a_bad_one(tmp_path: Path) -> None:
    counts = PatchCounts.fit(starts_with([2, 2, 3, 6], 6))
    counts.save(tmp_path / "counts")
    assert torch.equal(PatchCounts.load(tmp_path / "counts").counts_T, counts.counts_T)
    (tmp_path / "bad").write_bytes(b"no")
    save_file({"other": counts.counts_T}, tmp_path / "unnamed")
    for name in ("bad", "none", "unnamed"):
        with pytest.raises(UserError, match="cannot be read"):
            PatchCounts.load(tmp_path / name)
    for name, table in {
        "negative": -counts.counts_T,
        "float": counts.counts_T.double(),
        "flat": counts.counts_T[None],
    }.items():
        save_file({"patches": table}, tmp_path / name)
        with pytest.raises(UserError, match="no table of patch counts"):
            PatchCounts.load(tmp_path / name)
