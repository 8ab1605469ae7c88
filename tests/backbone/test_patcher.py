"""A network or a table as scorer: what it sees, and that no row sees another."""

import pytest
import torch
from torch import Tensor

from isobyte.backbone.flat import initialise
from isobyte.backbone.patching.document import document_bits, document_entropies, document_ids
from isobyte.backbone.patching.patcher import NgramTable, Patcher, entropy_of
from isobyte.backbone.patching.rules import Rows
from isobyte.config.patching import EntropyPatching
from isobyte.random import generator

WINDOW, LAYERS = 5, 2
REACH = LAYERS * (WINDOW - 1)


def scored(window: int | None = WINDOW, threshold: float = 1.4, documents: bool = True, **rule: object) -> Patcher:
    """A patcher with random weights, unsure of everything to some degree."""
    shape = {"layers": LAYERS, "width": 16, "heads": 2, "attention_window": window}
    settings = {"scorer": {"kind": "flat", "shape": shape}, "threshold": threshold, **rule}
    patcher = Patcher(EntropyPatching.model_validate(settings), documents=documents)
    scorer = patcher.scorer
    initialise(scorer, 0)  # type: ignore[arg-type]
    scorer.head.weight.copy_(torch.randn(260, 16, generator=torch.Generator().manual_seed(1)))  # type: ignore[union-attr]
    return patcher


def text(count: int, seed: int = 0) -> Tensor:
    """[1, count] ids, the beginning first."""
    return document_ids(generator(seed, "text").integers(256, size=count, dtype="uint8"))


def entropies(patcher: Patcher, ids_BT: Tensor) -> Tensor:
    found = patcher.entropies(ids_BT)
    assert found is not None
    return found


def test_entropy_is_that_of_the_definition() -> None:
    p = torch.tensor([0.5, 0.25, 0.125, 0.125])
    assert float(entropy_of(p.log() + 3)) == pytest.approx(1.75 * torch.log(torch.tensor(2.0)).item(), rel=1e-6)
    assert float(entropy_of(torch.tensor([0.0, -1e4]))) == 0


def test_rows_of_a_batch_are_as_each_alone() -> None:
    patcher = scored()
    ids_BT = torch.cat([text(40, seed) for seed in range(6)])
    ids_BT[2, 17], ids_BT[4, 5] = 2, 2
    together = entropies(patcher, ids_BT)
    assert together.std() > 0.1
    for row in range(6):
        torch.testing.assert_close(together[row], entropies(patcher, ids_BT[row : row + 1])[0], atol=1e-5, rtol=0)


def test_the_scorer_forgets_what_lies_before_its_window() -> None:
    patcher, ids_BT = scored(), text(60)
    before, other = entropies(patcher, ids_BT), ids_BT.clone()
    other[0, 20] = 4 + (other[0, 20] - 3) % 256
    changed = (entropies(patcher, other) - before).abs()[0] > 1e-5
    assert not changed[:20].any()
    assert changed[20]
    assert not changed[20 + REACH + 1 :].any()
    assert changed[20 : 20 + REACH + 1].sum() > WINDOW  # the second layer reaches beyond the window of the first


@pytest.mark.parametrize("rule", ["global", "monotonic", "both"])
@pytest.mark.parametrize("cap", [None, 3])
def test_prefixes_and_single_bytes_beyond_the_window(rule: str, cap: int | None) -> None:
    patcher = scored(rule=rule, rise=0.0, max_length=cap)
    ids_BT = text(50)
    ids_BT[0, 23] = 2
    whole = patcher.starts(ids_BT)
    assert 0.1 < whole.float().mean() < 0.9
    start_B, before, entropy_before = torch.zeros(1, dtype=torch.long), torch.zeros(1, 1).long(), torch.zeros(1, 1)
    for place in range(50):
        assert torch.equal(patcher.starts(ids_BT[:, : place + 1]), whole[:, : place + 2])
        entropy = entropies(patcher, ids_BT[:, : place + 1])[:, -1:]
        here = torch.tensor([[place]])
        after, start = patcher.opens(Rows(here, ids_BT[:, place : place + 1], before, entropy, entropy_before), start_B)
        assert bool(after[0, 0]) == bool(whole[0, place + 1])
        start_B, before, entropy_before = start[:, 0], ids_BT[:, place : place + 1], entropy


def test_nothing_is_seen_across_an_end_of_a_document() -> None:
    ids_BT = text(40)
    ids_BT[0, 19] = 2
    other = ids_BT.clone()
    other[0, 10:19] = 4 + (other[0, 10:19] - 3) % 256
    for documents in (True, False):
        patcher = scored(documents=documents)
        change = (entropies(patcher, ids_BT) - entropies(patcher, other)).abs()[0]
        assert change[10:19].min() > 1e-5
        assert (float(change[20:].max()) < 1e-6) == documents
        if documents:
            assert torch.equal(patcher.starts(ids_BT)[0, 20:], patcher.starts(other)[0, 20:])
            assert bool(patcher.starts(ids_BT)[0, 20])
    # without a window, the document's beginning is the text's
    alone = entropies(scored(None), ids_BT[:, 20:])
    torch.testing.assert_close(entropies(scored(None), ids_BT)[:, 20:], alone, atol=1e-5, rtol=0)


def test_a_training_loops_autocast_does_not_reach_the_scorer() -> None:
    patcher, ids_BT = scored(), text(30)
    expected = entropies(patcher, ids_BT)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(entropies(patcher, ids_BT), expected)


def test_a_patcher_is_frozen_and_carries_its_thresholds() -> None:
    patcher = scored()
    assert not any(parameter.requires_grad for parameter in patcher.parameters())
    assert float(patcher.state_dict()["threshold"]) == pytest.approx(1.4)
    assert patcher.state_dict()["rise"].isnan()


@pytest.mark.parametrize("piece", [8, 13, 64])
def test_a_long_text_in_pieces_is_as_at_once(piece: int) -> None:
    patcher = scored(max_length=6)
    for count in (1, 2, 15, 16, 17, 40, 97, 203):
        ids_BT = text(count, seed=count)
        pieces = document_entropies(patcher, ids_BT, piece)
        assert pieces is not None
        torch.testing.assert_close(pieces, entropies(patcher, ids_BT), atol=1e-5, rtol=0)
        assert torch.equal(patcher.starts_by(ids_BT, pieces), patcher.starts(ids_BT))


def test_a_documents_bits_are_those_of_one_byte_at_a_time() -> None:
    patcher, symbols = scored(max_length=6), generator(3, "bytes").integers(256, size=1500, dtype="uint8")
    bits = document_bits(patcher, symbols)
    assert bits[0]
    assert 0.1 < bits.mean() < 0.9
    ids_BT = document_ids(symbols)
    online, start_B = [True], torch.zeros(1, dtype=torch.long)
    entropy_before = torch.zeros(1, 1)
    for place in range(1500):
        first = max(0, place - REACH)
        entropy = entropies(patcher, ids_BT[:, first : place + 1])[:, -1:]
        rows = Rows(
            torch.tensor([[place]]), ids_BT[:, place : place + 1], ids_BT[:, max(place - 1, 0)][:, None],
            entropy, entropy_before,
        )  # fmt: skip
        after, start = patcher.opens(rows, start_B)
        online.append(bool(after[0, 0]))
        start_B, entropy_before = start[:, 0], entropy
    assert bits.tolist() == online[1:]


@pytest.mark.parametrize("context", [0, 1, 2])
def test_a_table_is_looked_up_by_the_last_ids(context: int) -> None:
    rule = EntropyPatching.model_validate({"scorer": {"kind": "ngram", "context": context}, "threshold": 0.5})
    patcher = Patcher(rule)
    assert isinstance(patcher.scorer, NgramTable)
    table = torch.rand(260**context, generator=torch.Generator().manual_seed(2))
    patcher.scorer.entropy.copy_(table)
    ids_BT = torch.cat([text(20, seed) for seed in range(2)])
    by_hand = torch.zeros(2, 20)
    for row in range(2):
        for place in range(20):
            last = [0, *ids_BT[row, : place + 1].tolist()][-context:] if context else []
            by_hand[row, place] = table[sum(each * 260**power for power, each in enumerate(reversed(last)))]
    assert torch.equal(entropies(patcher, ids_BT), by_hand)
