"""Numbers about a text, beside numbers that come about in another way."""

import math
import random
from collections import Counter
from itertools import pairwise

import pytest
import torch

from blt_models import blt, texts
from isobyte.backbone.byte_ids import BOS, OFFSET
from isobyte.evaluate.quality import Quality, agreement, bits, chrf, common_prefix, log_probs


def some(length: int, seed: int = 1) -> bytes:
    return bytes((texts(1, length + 1, seed)[0, 1:] - OFFSET).tolist())


def test_shares_are_of_bytes_in_their_places() -> None:
    assert common_prefix(b"abcd", b"abxd") == 2
    assert common_prefix(b"ab", b"abc") == 2
    assert agreement([b"abcd", b"xbcd"], [b"abxd", b"abcd"]) == {"prefix": 2 / 8, "equal": 6 / 8}
    assert agreement([b"ab"], [b"abcd"]) == {"prefix": 0.5, "equal": 0.5}
    assert agreement([b""], [b"ab"]) == {"prefix": 0.0, "equal": 0.0}


@torch.no_grad()
def test_bits_of_a_text_are_those_of_feeding_it_byte_by_byte() -> None:
    """And those of the prompt are not among them."""
    model, prompt, text = blt(), some(13), some(40, seed=2)
    state, nats = model.new_cache(1, 60), 0.0
    ids = [BOS, *(each + OFFSET for each in prompt + text)]
    for place, (each, after) in enumerate(pairwise(ids)):
        logits_V = model.logits(state.feed(torch.tensor([[each]]))[0, -1]).double()
        if place >= len(prompt):
            nats -= float(logits_V.log_softmax(-1)[after - OFFSET])
    assert bits(model, ids[: 1 + len(prompt)], text) == pytest.approx(nats / math.log(2), abs=1e-4)
    first, second = text[:17], text[17:]
    parts = bits(model, ids[: 1 + len(prompt)], first) + bits(model, ids[: 1 + len(prompt) + 17], second)
    assert parts == pytest.approx(nats / math.log(2), abs=1e-4)
    assert bits(model, [BOS], prompt + text) > nats / math.log(2) + 8


def test_what_a_byte_may_be_has_probability_one() -> None:
    found_TV = log_probs(blt(), [BOS, 70], some(9))
    assert found_TV.shape == (9, 256)
    assert found_TV.dtype == torch.float64
    assert found_TV.exp().sum(-1).tolist() == pytest.approx([1.0] * 9)


def by_hand(shown: list[str], expected: list[str]) -> float:
    """chrF of Popović 2015: n-grams of 1 to 6 characters without whitespace, recall four times as heavy (beta 2)."""
    precision, recall = [], []
    for n in range(1, 7):
        hits, ours, theirs = 0, 0, 0
        for a, b in zip(shown, expected, strict=True):
            one, other = (
                Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in ("".join(a.split()), "".join(b.split()))
            )
            hits, ours, theirs = hits + (one & other).total(), ours + one.total(), theirs + other.total()
        precision.append(hits / ours)
        recall.append(hits / theirs)
    p, r = sum(precision) / 6, sum(recall) / 6
    return 100 * 5 * p * r / (4 * p + r) if p + r else 0.0


def test_chrf_is_that_of_the_paper_whatever_the_bytes() -> None:
    draw = random.Random(3)
    ours, theirs = ([bytes(draw.choices(b"ab \xc3\xa9", k=60)) for _ in range(3)] for _ in range(2))
    expected = by_hand(*([each.decode(errors="replace") for each in side] for side in (ours, theirs)))
    found = chrf(ours, theirs)
    assert found["score"] == pytest.approx(expected, abs=1e-6)
    assert 20 < expected < 80
    assert chrf(ours, ours)["score"] == pytest.approx(100)
    assert "nc:6|nw:0" in found["signature"]


def test_a_text_that_is_another_is_told_where_and_by_how_much() -> None:
    model, prompts = blt(), [[BOS, 70, 71], [BOS, 90]]
    plain = [some(12), some(12, seed=2)]
    wrong = plain[1][:5] + bytes([plain[1][5] ^ 1]) + plain[1][6:]
    found = Quality(model, prompts, plain).of([plain[0], wrong], plain)
    (told,) = found["differences"]
    row_V = log_probs(model, prompts[1], plain[1])[5]
    assert (told["text"], told["byte"]) == (1, 5)
    assert told["nats"] == pytest.approx(float(row_V[plain[1][5]] - row_V[wrong[5]]), abs=1e-4)
    assert found["identical"] is False
    assert (found["prefix"], found["equal"]) == (17 / 24, 23 / 24)
    each = [bits(model, prompts[0], plain[0]), bits(model, prompts[1], wrong)]
    assert found["bpb"] == pytest.approx(sum(each) / 24)
    assert Quality(model, prompts, plain).of(plain, plain)["identical"] is True


def test_without_a_text_that_they_should_be_there_is_no_share() -> None:
    found = Quality(blt(), [[BOS]], [b"abcdefg"]).of([b"abcdefg"], None)
    assert (found["prefix"], found["equal"], found["identical"], found["differences"]) == (None, None, None, [])
    assert found["chrf"] == pytest.approx(100)
