"""Spans that are the tokens of a BPE over bytes: their ends are the tokenizer's, and the bound pays for them."""

from pathlib import Path

import numpy as np
import pytest
from small import random_net

from isobyte.config.objective import SpanConfig
from isobyte.config.representation import BpeConfig
from isobyte.config.spans import BpeSpans
from isobyte.likelihood.boundaries import BoundaryCoder
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.evaluate import evaluate
from isobyte.objective.base import network_log_probs
from isobyte.objective.span import span_starts
from isobyte.representation import build, save

TEXT = b"the quick brown fox and the other quick brown foxes and the rest of them; " * 20


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bpe")
    save(build(BpeConfig(vocab_size=280), [TEXT]), folder)
    return folder / "tokenizer.json"


def windows() -> np.ndarray:
    return np.frombuffer(TEXT[: 24 * 20], np.uint8).astype(np.int64).reshape(20, 24)


def test_spans_begin_where_tokens_do(tokenizer: Path) -> None:
    spans = BpeSpans(path=str(tokenizer))
    reader = build(BpeConfig(path=str(tokenizer)), [])
    for row in windows():
        (starts,) = span_starts(spans, row[None], np.zeros((1, 24)))
        tokens = [reader.decode(np.array([token])) for token in reader.encode(row.astype(np.uint8).tobytes())]
        assert np.split(row, starts.nonzero()[0][1:])[0].astype(np.uint8).tobytes() == tokens[0]
        assert int(starts.sum()) == len(tokens) < 24


def test_the_bound_pays_for_the_boundaries_and_the_score_does_not(tokenizer: Path) -> None:
    objective = SpanConfig(spans=BpeSpans(path=str(tokenizer)))
    log_probs = network_log_probs(random_net(256))
    x = windows()
    starts = span_starts(objective.spans, x, np.zeros(x.shape))
    coder = BoundaryCoder.fit(starts)
    told = Settings(8, 0, 256, boundaries=coder)
    paid, unpaid = (
        evaluate(log_probs, build_estimator(objective, told, name), [(x, np.full(20, 24))])
        for name in ("span", "span-unpaid")
    )
    assert (paid.kind, unpaid.kind) == ("bound", "score")
    assert paid.nats - unpaid.nats == pytest.approx(float(coder.nats(starts).sum()), rel=1e-6)
    assert paid.nats > unpaid.nats
