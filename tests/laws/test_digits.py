"""Likelihoods in digits: every valid form costs the entropy under exact posteriors, the published one less."""

import itertools
import math

import numpy as np
import pytest
import torch
from small import codes_of, entropy, random_net, random_table
from torch import Tensor

from isobyte.config.objective import DigitsConfig, digit_shape
from isobyte.likelihood import oracle
from isobyte.likelihood.enumeration import enumerated_bound
from isobyte.likelihood.estimator import Settings, build_estimator, companions, estimators
from isobyte.likelihood.exhaustive import digit_bounds
from isobyte.objective.base import LogProbs, View
from isobyte.objective.digits import contradicted, digit_marginals, digit_view, objective_log_probs
from isobyte.representation.digits import code_table

VALID = ("digit-marginal", "symbol", "digit-steps")


def mean(table: Tensor, nats: Tensor) -> float:
    possible = table.flatten() > 0
    return float((table.flatten() * nats)[possible].sum())


def bits(log_probs: LogProbs, table: Tensor, codes: Tensor, steps: int = 3) -> dict[str, float]:
    """Expected bits a window of every form, and of DUEL on whole symbols."""
    vocab, length = table.shape[0], table.ndim
    x = oracle.all_sequences(vocab, length)
    x, table = x[table.flatten() > 0], table.flatten()[table.flatten() > 0]
    found = digit_bounds(log_probs, x, codes, steps)
    settings = Settings(2, 0, vocab, codes, per_step=1)
    for name in estimators(DigitsConfig()):
        if name.startswith("duel"):
            found[name] = build_estimator(DigitsConfig(), settings, name).nats(log_probs, x, 0)[:, 0]
    return {name: mean(table, nats) / math.log(2) for name, nats in found.items()}


def coin(digits: int) -> tuple[Tensor, Tensor]:
    """A fair coin as `digits` equal bits: the symbols 0 and 2^digits - 1 of an alphabet that has them all."""
    table = torch.zeros(2**digits, dtype=torch.float64)
    table[0] = table[-1] = 0.5
    return table, torch.from_numpy(code_table(2**digits, None, shuffle=False))


@pytest.mark.parametrize("digits", [2, 4, 6])
def test_t6_coin_of_equal_bits_costs_one_bit_but_to_the_published_form(digits: int) -> None:
    table, codes = coin(digits)
    found = bits(oracle.enumerated_digits(table, codes), table, codes)
    for name, value in found.items():
        assert value == pytest.approx(1 / digits if name == "joint_ce" else 1, abs=1e-9), name
    assert estimators(DigitsConfig())["joint_ce"](Settings(2, 0, 4, codes)).kind == "surrogate"


@pytest.mark.parametrize("digits", [2, 4, 8, 10])
@pytest.mark.parametrize("name", [*VALID, "joint_ce", "duel:confidence"])
def test_t6_estimators_read_one_bit_and_the_published_one_a_fraction(name: str, digits: int) -> None:
    """With a pass for every number of masked digits the count forms leave nothing to chance on this source."""
    table, codes = coin(digits)
    x = torch.tensor([[0], [2**digits - 1]]).repeat(20, 1)
    settings = Settings(2 * digits, 0, 2**digits, codes, steps=4)
    nats = build_estimator(DigitsConfig(), settings, name).nats(oracle.enumerated_digits(table, codes), x, 0)
    if name == "digit-steps":
        error = float(nats.mean(1).std()) / math.sqrt(len(x))
        assert abs(float(nats.mean()) - math.log(2)) < 4 * error < 0.5
    else:
        expected = math.log(2) / (digits if name == "joint_ce" else 1)
        torch.testing.assert_close(nats, torch.full((40, 2), expected, dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", VALID)
@pytest.mark.parametrize("digits", [None, 1, 2])
def test_t2_independent_symbols_cost_their_own_surprise(name: str, digits: int | None) -> None:
    """Digits of one symbol depend on each other: it is the chain rule over digits that holds, on average."""
    p = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05], dtype=torch.float64)
    codes = codes_of(5, DigitsConfig(digits=digits))
    table = p[:, None] * p if codes.shape[1] < 3 else p
    found = bits(oracle.enumerated_digits(table, codes), table, codes)
    assert found[name] == pytest.approx(entropy(table) / math.log(2), abs=1e-9)


SOURCES = {
    "t1 uniform": torch.full((4, 4), 1 / 16, dtype=torch.float64),
    "t3 equal": torch.eye(4, dtype=torch.float64) / 4,
    "t4 parity": torch.tensor([[(a + b) % 2 == 0 for a in range(4)] for b in range(4)]).double() / 8,
    "random": random_table(4, 2, seed=3),
    "random with holes": random_table(4, 2, seed=3, holes=0.5),
}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("name", SOURCES)
def test_any_source_is_worth_its_entropy_and_less_to_the_published_form(name: str, shuffle: bool) -> None:
    table = SOURCES[name]
    codes = codes_of(4, DigitsConfig(shuffle=shuffle, shuffle_seed=1))
    log_probs = oracle.enumerated_digits(table, codes)
    found, truth = bits(log_probs, table, codes), entropy(table) / math.log(2)
    steps = [bits(log_probs, table, codes, steps=n)["digit-steps"] for n in (1, 2, 8)]
    for form, value in found.items():
        if form == "digit-steps":
            assert steps[0] > steps[1] - 1e-9 > steps[2] - 2e-9 > truth - 4e-9, "those revealed at once are blind"
        elif form == "joint_ce":
            assert value <= truth + 1e-9
        else:
            assert value == pytest.approx(truth, abs=1e-9), form
    other = bits(oracle.enumerated_digits(random_table(4, 2, seed=9), codes), table, codes)
    assert all(other[form] > truth for form in VALID)


@torch.no_grad()
@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_t8_kraft_sums_of_random_networks(seed: int, consistent: bool) -> None:
    config = DigitsConfig(consistent=consistent)
    log_probs = objective_log_probs(config, random_net(4, seed, objective=config))
    found = digit_bounds(log_probs, oracle.all_sequences(4, 2), codes_of(4, config), 3)
    for name in VALID:
        assert 0.05 < float((-found[name]).exp().sum()) <= 1 + 1e-9, name
    settings = Settings(2, 0, 4, codes_of(4, config), per_step=2)
    for rule in ("left_to_right", "confidence", "margin", "entropy"):
        nats = build_estimator(config, settings, f"duel:{rule}").nats(log_probs, oracle.all_sequences(4, 2), 0)
        assert float((-nats[:, 0]).exp().sum()) == pytest.approx(1, abs=1e-9)


def test_t8_the_published_form_fails_the_kraft_test_with_exact_posteriors() -> None:
    """Expected failure. The valid forms of the same oracle pass."""
    table, codes = coin(4)
    x = torch.tensor([[0], [15]])
    found = digit_bounds(oracle.enumerated_digits(table, codes), x, codes, 3)
    kraft = {name: float((-nats).exp().sum()) for name, nats in found.items()}
    assert kraft["joint_ce"] == pytest.approx(2 * 2**-0.25, abs=1e-9)
    assert kraft["joint_ce"] > 1.5
    assert all(kraft[name] <= 1 + 1e-9 for name in VALID)


@torch.no_grad()
@pytest.mark.parametrize("name", [*VALID, "joint_ce"])
def test_t9_estimates_are_unbiased(name: str) -> None:
    config, table = DigitsConfig(), random_table(8, 2, seed=4, holes=0.7)
    codes = codes_of(8, config)
    log_probs = oracle.enumerated_digits(table, codes)
    x, copies, group = (table > 0.02).nonzero()[-1], 2000, 40
    expected = float(digit_bounds(log_probs, x[None], codes, 3)[name])
    build = build_estimator(config, Settings(4, 5, 8, codes, steps=3), name)
    nats_W2 = build.nats(log_probs, x.expand(copies, -1), 0)
    nats_W = nats_W2.mean(1)
    assert abs(float(nats_W.mean()) - expected) < 4 * float(nats_W.std()) / math.sqrt(copies)
    assert abs(np.corrcoef(nats_W2.T)[0, 1]) < 4 / math.sqrt(copies)
    stderr = nats_W2.diff(dim=1).square().view(-1, group).sum(1).sqrt() / 2
    off = nats_W.view(-1, group).sum(1) - expected * group
    assert float((off.abs() < 2 * stderr).double().mean()) > 0.84


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_t16_marginals_cost_no_more_than_counted_joints(seed: int) -> None:
    """Form 1 <= form 5, m_i times the joint cost, mask by mask."""
    config = DigitsConfig()
    codes = codes_of(8, config)
    log_probs = objective_log_probs(config, random_net(8, seed, objective=config))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(8, (64, 3), generator=generator)
    masked = torch.rand(64, 3, 3, generator=generator) < 0.6
    log_BTV = log_probs(digit_view(x, masked, codes))
    nats = -digit_marginals(log_BTV, codes).gather(-1, codes[x].long()[..., None]).squeeze(-1)
    joint = -log_BTV.gather(-1, x[..., None]).squeeze(-1)
    assert ((nats * masked).sum(-1) <= masked.sum(-1) * joint + 1e-9).all()


def subset_entropies(p_V: np.ndarray, codes_VL: np.ndarray) -> np.ndarray:
    """[2^L] nats: the entropy of each set of a symbol's bits, the set's members as bits of its index."""
    digits = codes_VL.shape[1]
    number = codes_VL @ (1 << np.arange(digits))
    found = np.empty(2**digits)
    for subset in range(2**digits):
        mass = np.bincount(number & subset, weights=p_V, minlength=1)
        found[subset] = -(mass[mass > 0] * np.log(mass[mass > 0])).sum()
    return found


def toy(p_V: np.ndarray, codes_VL: np.ndarray) -> dict[str, float]:
    """Bits of each form on one symbol under exact posteriors, over all 2^L masks: E H(revealed | visible) each."""
    digits = codes_VL.shape[1]
    entropies, whole = subset_entropies(p_V, codes_VL), 2**digits - 1
    counts = np.array([bin(subset).count("1") for subset in range(2**digits)])
    joint, marginal = np.zeros(digits + 1), np.zeros(digits + 1)
    for visible in range(2**digits):
        hidden = digits - counts[visible]
        share = 1 / math.comb(digits, hidden)
        joint[hidden] += share * (entropies[whole] - entropies[visible])
        for digit in range(digits):
            if not visible >> digit & 1:
                marginal[hidden] += share * (entropies[visible | 1 << digit] - entropies[visible])
    weights = 1 / np.arange(1, digits + 1)
    nats = {
        "joint_ce": joint[1:] @ weights,
        "digit-marginal": marginal[1:] @ weights,
        "symbol": entropies[whole],
        "in order": sum(entropies[(1 << j + 1) - 1] - entropies[(1 << j) - 1] for j in range(digits)),
    }
    return {name: float(value) / math.log(2) for name, value in nats.items()}


def zipf(vocab: int, power: float = 1.5) -> np.ndarray:
    mass = np.arange(1, vocab + 1) ** -power
    return mass / mass.sum()


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_toys_sums_are_what_the_estimators_compute(shuffle: bool) -> None:
    p, codes = zipf(32), code_table(32, None, shuffle=shuffle, seed=2)
    table, codes_VL = torch.from_numpy(p), torch.from_numpy(codes)
    sums, code = toy(p, codes), bits(oracle.enumerated_digits(table, codes_VL), table, codes_VL)
    for name in ("joint_ce", "digit-marginal", "symbol"):
        assert code[name] == pytest.approx(sums[name], abs=1e-9), name
    assert code["digit-steps"] == pytest.approx(sums["symbol"], abs=1e-9)


@pytest.mark.parametrize("digits", [8, 10])
def test_t6_published_form_reads_one_over_the_number_of_digits(digits: int) -> None:
    table, codes = coin(digits)
    found = toy(table.numpy(), codes.numpy())
    assert found.pop("joint_ce") == pytest.approx(1 / digits, abs=1e-9)
    assert list(found.values()) == pytest.approx([1] * len(found), abs=1e-9)


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_zipf_codes_read_less_than_their_entropy_in_the_published_form_alone(seed: int | None) -> None:
    """Zipf 1.5 over 4096 symbols in 12 bits: 4.3945 bits; published 4.197 in order, about 2 when shuffled."""
    found = toy(zipf(4096), code_table(4096, None, shuffle=seed is not None, seed=seed or 0))
    for name in ("digit-marginal", "symbol", "in order"):
        assert found[name] == pytest.approx(4.3945, abs=1e-4), name
    if seed is None:
        assert found["joint_ce"] == pytest.approx(4.197, abs=1e-3)
    else:
        assert 1.95 < found["joint_ce"] < 2.15


@pytest.mark.parametrize(("name", "shuffle", "expected"), [
    ("joint_ce", False, 4.197), ("joint_ce", True, None), ("digit-marginal", True, 4.3945), ("symbol", True, 4.3945),
    ("digit-steps", True, 4.3945),
])  # fmt: skip
def test_zipf_codes_measure_at_these_values(name: str, shuffle: bool, expected: float | None) -> None:
    """The estimators themselves, on texts of one symbol drawn systematically from the same source."""
    p, codes = zipf(4096), torch.from_numpy(code_table(4096, None, shuffle=shuffle))
    prior = torch.from_numpy(p).log()

    def log_probs(view: View) -> Tensor:
        return (
            prior.expand(*view.inputs.shape[:2], -1)
            .masked_fill(contradicted(view.inputs, codes), -torch.inf)
            .log_softmax(-1)
        )

    draws = np.minimum(np.searchsorted(p.cumsum(), (np.arange(1200) + 0.5) / 1200), 4095)
    x = torch.from_numpy(np.random.default_rng(0).permutation(draws))[:, None]
    nats = build_estimator(DigitsConfig(), Settings(2, 3, 4096, codes, steps=8), name).nats(log_probs, x, 0).mean(1)
    value, error = float(nats.mean()) / math.log(2), float(nats.std()) / math.log(2) / math.sqrt(len(x))
    expected = expected or toy(p, codes.numpy())["joint_ce"]
    assert abs(value - expected) < 4 * error + 0.01, "0.01: the draws are not quite the source"
    assert error < 0.2


@pytest.mark.parametrize(("vocab", "digits"), [(2, None), (5, None), (16, 2), (27, 3), (256, 2), (256, None), (300, 2)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_t15_codes_are_a_bijection_and_filtering_keeps_the_true_symbol(
    vocab: int, digits: int | None, shuffle: bool
) -> None:
    table = code_table(vocab, digits, shuffle=shuffle, seed=3)
    count, base = digit_shape(vocab, digits)
    assert table.shape == (vocab, count)
    assert table.min() >= 0
    assert table.max() < base
    number = table @ base ** np.arange(count - 1, -1, -1)
    assert sorted(number.tolist()) == list(range(vocab)), "codes of vocab and above never occur"
    assert shuffle or number.tolist() == list(range(vocab))
    np.testing.assert_array_equal(table, code_table(vocab, digits, shuffle=shuffle, seed=3))
    codes, generator = torch.from_numpy(table), torch.Generator().manual_seed(0)
    x = torch.randint(vocab, (20, 4), generator=generator)
    masked = torch.rand(20, 4, count, generator=generator) < 0.5
    view = digit_view(x, masked, codes)
    out = contradicted(view.inputs, codes)
    expected = ((codes != view.inputs[:, :, None]) & (view.inputs != base)[:, :, None]).any(-1)
    assert torch.equal(out, expected)
    assert not out.gather(-1, x[..., None]).any(), "the true symbol stays"
    logits = torch.randn(20, 4, vocab, generator=generator, dtype=torch.float64)
    log = logits.masked_fill(out, -torch.inf).log_softmax(-1)
    torch.testing.assert_close(log.exp().sum(-1), torch.ones(20, 4, dtype=torch.float64))
    marginals = digit_marginals(log, codes).exp()
    torch.testing.assert_close(marginals.sum(-1), torch.ones(20, 4, count, dtype=torch.float64))
    for place, digit in itertools.product(range(count), range(min(base, 4))):
        by_hand = log.exp()[..., codes[:, place] == digit].sum(-1)
        torch.testing.assert_close(marginals[..., place, digit], by_hand, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_t11_one_digit_is_the_masked_bound_and_whole_symbol_masks_are_too() -> None:
    table = random_table(4, 3, seed=5)
    x = oracle.all_sequences(4, 3)
    plain = enumerated_bound(oracle.enumerated(table), x, 4)
    one = codes_of(4, DigitsConfig(digits=1))
    found = digit_bounds(oracle.enumerated_digits(table, one), x, one, 3)
    torch.testing.assert_close(found["digit-marginal"], plain, rtol=0, atol=1e-9)
    torch.testing.assert_close(found["symbol"], plain, rtol=0, atol=1e-9)
    torch.testing.assert_close(found["joint_ce"], plain, rtol=0, atol=1e-9)
    two = codes_of(4, DigitsConfig(digits=2))
    torch.testing.assert_close(
        digit_bounds(oracle.enumerated_digits(table, two), x, two, 1)["symbol"], plain, rtol=0, atol=1e-9
    )


def test_own_estimator_follows_the_loss_and_the_surrogate_stands_beside_it() -> None:
    first = {loss: next(iter(estimators(DigitsConfig(loss=loss)))) for loss in ("joint", "marginal", "symbol")}
    assert first == {"joint": "digit-marginal", "marginal": "digit-marginal", "symbol": "symbol"}
    assert companions(DigitsConfig()) == ["joint_ce"]
