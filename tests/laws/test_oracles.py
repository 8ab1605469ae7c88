"""The oracles are what they claim: each closed form equals the posterior of its enumerated table."""

import itertools
import math

import pytest
import torch
from small import binary_entropy, entropy, random_table
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.likelihood import oracle
from isobyte.likelihood.exact import ar_nats
from isobyte.objective.base import LogProbs, View

LENGTH = 5


def table_of(log_mass, vocab: int, length: int = LENGTH) -> Tensor:
    mass = [log_mass(x) for x in itertools.product(range(vocab), repeat=length)]
    return torch.tensor(mass, dtype=torch.float64).view([vocab] * length)


def iid_mass(x: tuple[int, ...]) -> float:
    return math.prod((0.6, 0.3, 0.1)[a] for a in x)


def equal_mass(x: tuple[int, ...]) -> float:
    return len(set(x)) == 1


def parity_mass(x: tuple[int, ...]) -> float:
    return sum(x) % 2 == 0


def markov_mass(x: tuple[int, ...], flip: float = 0.1) -> float:
    return math.prod(flip if a != b else 1 - flip for a, b in itertools.pairwise(x)) / 2


SOURCES = {
    "uniform": (oracle.uniform(3), table_of(lambda _: 1 / 3**LENGTH, 3), LENGTH * math.log(3)),
    "iid": (
        oracle.iid(torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)),
        table_of(iid_mass, 3),
        LENGTH * 0.8979457248567797,
    ),
    "equal": (oracle.all_equal(3), table_of(equal_mass, 3) / 3, math.log(3)),
    "parity": (oracle.even_parity(), table_of(parity_mass, 2) / 16, 4 * math.log(2)),
    "markov": (oracle.binary_markov(0.1), table_of(markov_mass, 2), math.log(2) + 4 * binary_entropy(0.1)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_closed_form_is_the_enumerated_posterior(name: str) -> None:
    closed, table, nats = SOURCES[name]
    vocab = table.shape[0]
    assert float(table.sum()) == pytest.approx(1, abs=1e-12)
    assert entropy(table) == pytest.approx(nats, abs=1e-12)
    contexts = oracle.all_sequences(vocab + 1, LENGTH)
    general = oracle.enumerated(table)
    torch.testing.assert_close(
        closed(View(contexts, BIDIRECTIONAL)).exp(),
        general(View(contexts, BIDIRECTIONAL)).exp(),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("name", SOURCES)
def test_autoregression_of_an_oracle_is_the_chain_rule(name: str) -> None:
    log_probs, table, _ = SOURCES[name]
    vocab = table.shape[0]
    x = oracle.all_sequences(vocab, LENGTH)
    torch.testing.assert_close((-ar_nats(log_probs, x, vocab)).exp(), table.flatten(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("holes", [0.0, 0.6])
def test_enumerated_source_is_normalised_certain_of_what_it_sees_and_exact(holes: float) -> None:
    table = random_table(3, 4, seed=1, holes=holes)
    log_probs: LogProbs = oracle.enumerated(table)
    contexts = oracle.all_sequences(4, 4)
    probabilities = log_probs(View(contexts, BIDIRECTIONAL)).exp()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(256, 4).double())
    visible = contexts < 3
    assert (probabilities.gather(-1, contexts.clamp(max=2)[..., None]).squeeze(-1)[visible] == 1).all()
    x = oracle.all_sequences(3, 4)
    torch.testing.assert_close((-ar_nats(log_probs, x, 3)).exp(), table.flatten(), rtol=0, atol=1e-12)
    hidden_second = probabilities[(contexts == torch.tensor([0, 3, 3, 2])).all(-1)][0]
    torch.testing.assert_close(hidden_second[1], table[0, :, :, 2].sum(1) / table[0, :, :, 2].sum())
