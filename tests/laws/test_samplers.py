"""Samplers beside each other: what is given stays, a batch is its rows, calls are counted, and equals are equal."""

import pytest
import torch
from laws_decode import Spy, hidden, net
from torch import Tensor

from isobyte.config import objective as kinds
from isobyte.decode.methods import REMASKING, UNMASKING, Settings, methods_of
from isobyte.decode.sample import sample
from isobyte.errors import UserError
from isobyte.likelihood.duel import duel_nats
from isobyte.objective.ar import ar_view
from isobyte.objective.base import network_log_probs

VOCAB, LENGTH = 5, 9
MASKED = kinds.MaskedConfig()
OBJECTIVES = [
    kinds.ArConfig(),
    MASKED,
    kinds.MaskedConfig(time_conditioning=True),
    kinds.SpanConfig(),
    kinds.AnyOrderConfig(),
    kinds.BlockConfig(block=4),
    kinds.EsoConfig(),
    kinds.EsoConfig(cached=False),
    kinds.DigitsConfig(),
]
WAYS = [
    (objective, Settings(method, by_digit=by_digit, steps=12 if "steps" in options else None))
    for objective in OBJECTIVES
    for method, options in methods_of(objective).items()
    for by_digit in ([False, True] if "by_digit" in options else [False])
]


def name(way: object) -> str:
    return f"{way.method}{'-by-digit' * way.by_digit}" if isinstance(way, Settings) else repr(way)[:24]


@pytest.mark.parametrize(("objective", "settings"), WAYS, ids=name)
def test_rows_alone_are_rows_of_the_batch_and_what_is_given_stays(
    objective: kinds.Objective, settings: Settings
) -> None:
    model = net(objective, VOCAB)
    x = hidden(4, LENGTH, VOCAB)
    x[0, 2], x[1, :6], x[3, 4:] = 1, torch.arange(6) % VOCAB, 3
    together = sample(objective, model, x, settings)
    assert (together.x_WT < VOCAB).all()
    assert torch.equal(together.x_WT[x < VOCAB], x[x < VOCAB])
    for row in range(4):
        alone = sample(objective, model, x[row : row + 1], settings, first=row)
        assert torch.equal(alone.x_WT[0], together.x_WT[row])
        torch.testing.assert_close(alone.nats_W[0], together.nats_W[row])
    assert torch.equal(sample(objective, model, x, settings).x_WT, together.x_WT)


@pytest.mark.parametrize(("objective", "settings"), WAYS, ids=name)
def test_nfe_is_the_number_of_calls(objective: kinds.Objective, settings: Settings) -> None:
    spy = Spy(net(objective, VOCAB))
    x = hidden(3, LENGTH, VOCAB)
    x[1, :4] = 2
    found = sample(objective, spy, x, settings)
    assert int(found.nfe_W.sum()) == spy.rows
    assert int(found.nfe_W.max()) <= spy.calls


def test_cached_ancestral_and_remasking_of_nothing_are_ancestral_draw_for_draw() -> None:
    model, x = net(MASKED, VOCAB), hidden(300, LENGTH, VOCAB)
    plain = sample(MASKED, model, x, Settings("ancestral", steps=30))
    cached = sample(MASKED, model, x, Settings("cached-ancestral", steps=30))
    assert torch.equal(plain.x_WT, cached.x_WT)
    assert int(cached.nfe_W.max()) <= LENGTH < int(plain.nfe_W.min())
    for method in ("remdm-cap", "remdm-rescale"):
        for grid in ("linear", "cosine"):
            same = sample(MASKED, model, x, Settings("ancestral", steps=30, grid=grid))
            other = sample(MASKED, model, x, Settings(method, steps=30, eta=0.0, grid=grid))
            assert torch.equal(other.x_WT, same.x_WT)
    changed = sample(MASKED, model, x, Settings("remdm-cap", steps=30, eta=0.5))
    assert not torch.equal(changed.x_WT, plain.x_WT)


def test_blocks_reuse_answers_too() -> None:
    objective = kinds.BlockConfig(block=4)
    model, x = net(objective, VOCAB), hidden(1, LENGTH, VOCAB)
    plain = sample(objective, model, x, Settings("ancestral", steps=30))
    cached = sample(objective, model, x, Settings("cached-ancestral", steps=30))
    assert torch.equal(plain.x_WT, cached.x_WT)
    assert int(cached.nfe_W) <= LENGTH + 2 < int(plain.nfe_W)


@pytest.mark.parametrize("settings", [Settings("entropy-bounded", gamma=0.0), Settings("threshold", threshold=1.01)])
def test_the_strictest_settings_reveal_one_at_a_time(settings: Settings) -> None:
    found = sample(MASKED, net(MASKED, VOCAB), hidden(50, LENGTH, VOCAB), settings)
    assert (found.nfe_W == LENGTH).all()


def test_bold_settings_reveal_all_at_once() -> None:
    for settings in (Settings("entropy-bounded", gamma=99.0), Settings("threshold", threshold=0.01)):
        found = sample(MASKED, net(MASKED, VOCAB), hidden(50, LENGTH, VOCAB), settings)
        assert (found.nfe_W == 1).all()


@torch.no_grad()
@pytest.mark.parametrize("rule", ["left-to-right", "confidence", "margin", "entropy"])
@pytest.mark.parametrize("per_step", [1, 2])
def test_the_cost_of_a_sample_is_its_duel_likelihood(rule: str, per_step: int) -> None:
    model = net(MASKED, VOCAB)
    found = sample(MASKED, model, hidden(40, LENGTH, VOCAB), Settings(rule, per_step=per_step))
    again = duel_nats(network_log_probs(model), found.x_WT, VOCAB, rule.replace("-", "_"), per_step)
    torch.testing.assert_close(found.nats_W, again)


@torch.no_grad()
def test_greedy_is_the_likeliest_at_every_step() -> None:
    objective = kinds.ArConfig()
    model = net(objective, VOCAB)
    one, other = (sample(objective, model, hidden(2, LENGTH, VOCAB), Settings(seed=k, temperature=0)) for k in (1, 2))
    assert torch.equal(one.x_WT, other.x_WT)
    assert torch.equal(one.x_WT[0], one.x_WT[1])
    log = network_log_probs(model)(ar_view(one.x_WT, VOCAB))
    assert torch.equal(log.argmax(-1), one.x_WT)


class Told:
    """Keeps what it is told, and holds it against what it was told before."""

    def __init__(self, x_WT: Tensor) -> None:
        self.x_WT, self.given_WT, self.forgotten = x_WT.clone(), x_WT < VOCAB, 0

    def reveal(self, step: int, rows: Tensor, places: Tensor, symbols: Tensor, sure: Tensor) -> None:
        assert step > 0
        assert (self.x_WT[rows, places] == VOCAB).all()
        assert ((sure > 0) & (sure <= 1)).all()
        self.x_WT[rows, places] = symbols

    def hide(self, step: int, hidden_WT: Tensor) -> None:
        assert step > 0
        assert not (hidden_WT & self.given_WT).any()
        assert (self.x_WT[hidden_WT] < VOCAB).all()
        self.x_WT[hidden_WT] = VOCAB
        self.forgotten += int(hidden_WT.sum())


@pytest.mark.parametrize("method", REMASKING)
def test_remasking_changes_what_was_revealed_and_never_what_was_given(method: str) -> None:
    x = hidden(20, LENGTH, VOCAB)
    x[:, ::3] = 4
    told, eta = Told(x), None if method == "remdm-conf" else 0.2
    found = sample(MASKED, net(MASKED, VOCAB), x, Settings(method, steps=20, eta=eta), watch=told)
    assert told.forgotten > 0
    assert torch.equal(found.x_WT, told.x_WT)


@pytest.mark.parametrize(
    "settings", [Settings("published", steps=6), Settings("confidence", by_digit=True), Settings("ancestral")], ids=name
)
def test_digits_are_reported_as_whole_symbols(settings: Settings) -> None:
    objective, x = kinds.DigitsConfig(), hidden(2, LENGTH, VOCAB)
    told = Told(x)
    found = sample(objective, net(objective, VOCAB), x, settings, watch=told)
    assert torch.equal(found.x_WT, told.x_WT)


@pytest.mark.parametrize(
    ("objective", "settings", "says"),
    [
        (kinds.ArConfig(), Settings("confidence"), "'ar' cannot sample by 'confidence'; it can: left-to-right"),
        (kinds.EsoConfig(), Settings("ancestral"), "it can: eso"),
        (kinds.BlockConfig(), Settings("remdm-cap"), "'block' cannot sample by 'remdm-cap'"),
        (MASKED, Settings("published"), "'masked' cannot sample by 'published'"),
        (MASKED, Settings("confidenc"), "did you mean 'confidence'"),
        (MASKED, Settings("confidence", steps=3), "has no such setting; it has: per_step, block"),
        (kinds.BlockConfig(), Settings("confidence", block=3), "has no such setting"),
        (MASKED, Settings(by_digit=True), "has no such setting"),
        (kinds.ArConfig(), Settings(per_step=2), "it has: none"),
        (MASKED, Settings(temperature=-1), "temperature: -1 is out of range"),
        (MASKED, Settings(top_p=0), "top_p: 0 is out of range"),
        (MASKED, Settings("ancestral", steps=0), "take 1 or more"),
        (MASKED, Settings("ancestral", grid="cosin"), "take 'linear' or 'cosine'"),
        (MASKED, Settings("remdm-cap", eta=2), "take 0 to 1"),
    ],
)
def test_wrong_combinations_are_one_line(objective: kinds.Objective, settings: Settings, says: str) -> None:
    with pytest.raises(UserError, match=says):
        settings.checked(objective)


def test_every_method_is_somebodys() -> None:
    offered = {method for objective in OBJECTIVES for method in methods_of(objective)}
    assert {*UNMASKING, *REMASKING} <= offered
