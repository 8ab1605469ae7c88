"""Counting n-grams, setting thresholds, telling of patches, and storing them."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isobyte.backbone.byte_ids import COUNT, EOS, OFFSET
from isobyte.backbone.patching.calibrate import (
    calibrate,
    patch_statistics,
    training_ids,
    uncapped_starts,
    warning,
)
from isobyte.backbone.patching.corpus import StoredPatches, patcher_hash, store_patches
from isobyte.backbone.patching.document import document_bits
from isobyte.backbone.patching.ngram import fit_ngram
from isobyte.backbone.patching.patcher import NgramTable, Patcher
from isobyte.config.data import DataConfig, SyntheticCorpus
from isobyte.config.patching import EntropyPatching, SpacePatching, StaticPatching
from isobyte.config.representation import BpeConfig, BytesConfig
from isobyte.data.prepare import prepare
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.random import generator
from isobyte.representation.bytes_ import Bytes


def slow_entropy(text: bytes, last: bytes, context: int) -> float:
    """Witten-Bell by dictionaries, in the order of the definition."""

    def p(byte: int, last: bytes | None) -> float:
        if last is None:
            return 1 / 256
        seen = counts[last]
        shorter = p(byte, last[1:] if last else None)
        if not seen:
            return shorter
        return (seen[byte] + len(seen) * shorter) / (sum(seen.values()) + len(seen))

    counts: dict[bytes, Counter[int]] = {}
    for length in range(len(last) + 1):
        ending = last[len(last) - length :]
        places = range(context, len(text))
        counts[ending] = Counter(text[i] for i in places if text[i - length : i] == ending)
    values = [p(byte, last) for byte in range(256)]
    assert math.isclose(sum(values), 1, rel_tol=1e-9)
    return -sum(value * math.log(value) for value in values)


def table_of(text: bytes, context: int) -> np.ndarray:
    table, symbols = NgramTable(context), np.frombuffer(text, np.uint8)
    fit_ngram(table, lambda start, stop: symbols[start:stop], len(text))
    return table.entropy.numpy().reshape((COUNT,) * context)


@pytest.mark.parametrize("context", [0, 1, 2])
def test_ngram_entropies_are_those_of_dictionaries(context: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isobyte.backbone.patching.ngram._BYTES_AT_ONCE", 7)
    text = bytes(b"aabcb\xff\x00"[i] for i in generator(0, "text").integers(7, size=120) ** 2 % 7)
    table = table_of(text, context)
    contexts = {0: [b""], 1: [b"a", b"\xff", b"z"], 2: [b"aa", b"ab", b"\x00b", b"za", b"az", b"zz", b"\xff\x00"]}
    for last in contexts[context]:
        assert table[tuple(byte + OFFSET for byte in last)] == pytest.approx(
            slow_entropy(text, last, context), rel=1e-5
        )
    if context == 2:
        alone = table_of(text[1:], 1)  # the same places are counted
        for special in range(OFFSET):
            assert table[special, OFFSET + 97] == pytest.approx(alone[OFFSET + 97])
            assert table[OFFSET + 97, special] == table[special, special] == pytest.approx(alone[special])


def test_more_than_is_counted_changes_nothing() -> None:
    """A text as long as told, and a context that never occurs takes the shorter one's word."""
    text = generator(1, "text").integers(97, 101, size=3000, dtype=np.uint8)
    table, again = NgramTable(2), NgramTable(2)
    fit_ngram(table, lambda start, stop: text[start:stop], 1000)
    fit_ngram(again, lambda start, stop: text[:1000][start:stop], 1000)
    assert torch.equal(table.entropy, again.entropy)
    grid = table.entropy.view(COUNT, COUNT)
    assert grid[OFFSET + 200, OFFSET + 97] == grid[0, OFFSET + 97]
    assert float(table.entropy.max()) < math.log(256)
    assert 1.3 < float(grid[OFFSET + 97, OFFSET + 98]) < 2.1  # four letters at random, and some doubt


def ngram(rule: str = "global", **settings: object) -> Patcher:
    fields = {"scorer": {"kind": "ngram", "context": 1}, "rule": rule, **settings}
    patcher = Patcher(EntropyPatching.model_validate(fields))
    assert isinstance(patcher.scorer, NgramTable)
    patcher.scorer.entropy.copy_(torch.rand(COUNT, generator=torch.Generator().manual_seed(4)) * 5)
    return patcher


def windows(rows: int = 40, length: int = 64) -> torch.Tensor:
    symbols = generator(2, "windows").integers(256, size=(rows, length - 1))
    return torch.cat((torch.ones(rows, 1, dtype=torch.long), torch.from_numpy(symbols) + OFFSET), 1)


def mean_of(patcher: Patcher, ids: torch.Tensor) -> float:
    starts = patcher.starts(ids)[:, 1:]
    return starts.numel() / int(starts.sum())


@pytest.mark.parametrize("rule", ["global", "monotonic", "both"])
@pytest.mark.parametrize("cap", [None, 6])
@pytest.mark.parametrize("target", [1.6, 2.5, 4.5])
def test_a_threshold_gives_the_mean_it_is_set_for(rule: str, cap: int | None, target: float) -> None:
    rise = {"rise": -1.0} if rule == "both" else {}
    patcher, ids = ngram(rule, mean_length=target, max_length=cap, **rise), windows()
    found = patcher.rise if rule == "monotonic" else patcher.threshold
    calibrate(patcher, ids)
    reached, at = mean_of(patcher, ids), float(found)
    # no other threshold comes closer: as good as every value that occurs, tried one by one
    others = []
    for other in torch.linspace(-5, 6, 700):
        found.fill_(float(other))
        others.append(abs(mean_of(patcher, ids) - target))
    assert abs(reached - target) <= min(others) + 1e-9
    again = ngram(rule, mean_length=target, max_length=cap, **rise)
    calibrate(again, ids)
    assert float(again.rise if rule == "monotonic" else again.threshold) == at


def test_calibration_leaves_given_thresholds_and_other_rules_alone() -> None:
    patcher = ngram(threshold=1.25, mean_length=3)
    calibrate(patcher, windows())
    assert float(patcher.threshold) == 1.25
    calibrate(Patcher(SpacePatching()), windows())
    once = ngram("monotonic", mean_length=3)
    calibrate(once, windows())
    assert once.threshold.isnan()


@pytest.mark.parametrize(("target", "cap"), [(0.5, None), (5.0, 4), (70.0, None)])
def test_a_mean_out_of_reach_is_refused(target: float, cap: int | None) -> None:
    patcher = ngram(mean_length=target, max_length=cap)
    with pytest.raises(UserError, match="cannot be had: here patches have 1 to") as problem:
        calibrate(patcher, windows())
    assert ("max_length" in problem.value.how) == (cap is not None)
    assert patcher.threshold.isnan()


def test_the_ends_of_the_reach_are_reached() -> None:
    for target, cap in ((1.0, None), (4.0, 4), (64.0, None)):
        patcher = ngram(mean_length=target, max_length=cap)
        calibrate(patcher, windows())
        assert mean_of(patcher, windows()) == target


@given(st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=4), st.integers(1, 4))
def test_statistics_are_those_of_a_loop(rows: list[list[bool]], cap: int) -> None:
    uncapped = [[True, True, *row] for row in rows]
    capped, lengths, closed = [], [], 0
    for row in uncapped:
        begun, starts = 1, [True]
        for place in range(1, len(row)):
            if row[place] or place - begun == cap:
                closed += not row[place]
                if place > 1:
                    lengths.append(place - begun)
                begun = place
            starts.append(begun == place)
        lengths.append(len(row) - begun)
        capped.append(starts)
    found = patch_statistics(torch.tensor(capped), torch.tensor(uncapped))
    assert (found.rows, found.patches, found.bytes) == (len(rows), len(lengths), 10 * len(rows))
    assert found.histogram == dict(sorted(Counter(lengths).items()))
    assert found.closed_by_cap == closed
    assert found.share_closed_by_cap == closed / len(lengths)
    assert found.mean_length == sum(lengths) / len(lengths)


def test_a_patchers_own_cap_is_told_from_its_rule() -> None:
    patcher, ids = ngram(threshold=3.0, max_length=3), windows()
    found = patch_statistics(patcher.starts(ids), uncapped_starts(patcher, ids, patcher.entropies(ids)))
    free = patch_statistics(ngram(threshold=3.0).starts(ids))
    assert found.closed_by_cap == sum(((length - 1) // 3) * count for length, count in free.histogram.items())
    assert found.patches == free.patches + found.closed_by_cap


def test_warnings_at_both_ends_and_none_between() -> None:
    ids = windows()
    told = {threshold: warning(patch_statistics(ngram(threshold=threshold).starts(ids))) for threshold in (-1, 2.5, 6)}
    assert told[2.5] is None
    assert "1.00 bytes" in (told[-1] or "")
    assert "every byte" in (told[-1] or "")
    assert "64.00 bytes" in (told[6] or "")
    assert "one patch" in (told[6] or "")


def test_training_ids_are_what_a_network_is_shown() -> None:
    texts = [bytes(generator(5, "texts").integers(256, size=100, dtype=np.uint8)) for _ in range(3)]
    stream = Stream.of(texts, Bytes())
    ids = training_ids(stream, 16, 4)
    assert ids.shape == (4, 16)
    assert (ids[:, 0] == 1).all()
    joined = b"".join(texts)
    assert all(bytes((row[1:] - OFFSET).tolist()) in joined for row in ids)
    assert len(training_ids(stream, 16)) <= len(joined) // 16


def test_stored_bits_are_the_documents_own(tmp_path: Path) -> None:
    corpus = SyntheticCorpus(law="zipf", documents=23, document_bytes=211)
    prepared = prepare(DataConfig(corpus=corpus), BytesConfig(), tmp_path / "data", shard_bytes=1000)
    patcher, seen = ngram(threshold=2.5, max_length=7), []
    manifest = store_patches(patcher, prepared, seen.append)
    assert seen == [211 * (i + 1) for i in range(23)]
    assert [file.name for file in manifest.train][:2] == ["train-00000.patches", "train-00001.patches"]
    assert len(manifest.train) > 3
    stored = StoredPatches.open(prepared.folder, patcher_hash(patcher))
    for split in ("train", "heldout"):
        stream = prepared.stream(split)
        expected = np.concatenate([document_bits(patcher, text) for text in stream.documents()])
        assert np.array_equal(stored.read(split, 0, len(stream)), expected)
        assert sum(file.patches for file in manifest.split(split)) == expected.sum()
        for start, stop in generator(6, split).integers(len(stream) + 50, size=(60, 2)):
            assert np.array_equal(stored.read(split, start, stop), expected[start:stop])
    file = stored.folder / "train-00000.patches"
    packed = file.read_bytes()
    assert len(packed) == 125
    file.write_bytes(packed[:-1] + bytes([packed[-1] ^ 1]))
    with pytest.raises(UserError, match=r"train-00000.*checksum"):
        StoredPatches.open(prepared.folder, patcher_hash(patcher))


def test_stored_bits_belong_to_one_patcher(tmp_path: Path) -> None:
    corpus = SyntheticCorpus(documents=20, document_bytes=100)
    prepared = prepare(DataConfig(corpus=corpus), BytesConfig(), tmp_path / "data")
    store_patches(ngram(threshold=2.5), prepared)
    assert StoredPatches.open(prepared.folder, patcher_hash(ngram(threshold=2.5, mean_length=3))).manifest.train
    for other in (ngram(threshold=2.6), ngram(threshold=2.5, max_length=3), Patcher(StaticPatching())):
        with pytest.raises(UserError, match=f"no stored patches of patcher {patcher_hash(other)}"):
            StoredPatches.open(prepared.folder, patcher_hash(other))
    kept = StoredPatches.open(prepared.folder, patcher_hash(ngram(threshold=2.5)))
    before = kept.read("train", 0, 200)
    store_patches(Patcher(StaticPatching()), prepared)
    assert np.array_equal(kept.read("train", 0, 200), before)
    bpe = prepare(DataConfig(corpus=corpus), BpeConfig(vocab_size=260), tmp_path / "bpe")
    with pytest.raises(UserError, match="holds bpe symbols"):
        store_patches(Patcher(SpacePatching()), bpe)


def test_a_patchers_hash_is_what_decides_its_patches() -> None:
    hashes = [
        patcher_hash(patcher)
        for patcher in (
            ngram(threshold=2.5), ngram(threshold=2.6), ngram("monotonic", rise=2.5), Patcher(StaticPatching()),
            Patcher(StaticPatching(size=3)), Patcher(SpacePatching()), Patcher(SpacePatching(), documents=False),
            Patcher(SpacePatching(max_length=3)),
        )
    ]  # fmt: skip
    assert len(set(hashes)) == len(hashes)
    assert patcher_hash(Patcher(SpacePatching(mean_length=3))) == patcher_hash(Patcher(SpacePatching()))


def test_an_end_inside_a_window_opens_a_patch_whatever_the_threshold() -> None:
    ids = windows(2)
    ids[0, 30] = EOS
    assert ngram(threshold=9).starts(ids).nonzero().tolist() == [[0, 0], [0, 1], [0, 31], [0, 32], [1, 0], [1, 1]]
