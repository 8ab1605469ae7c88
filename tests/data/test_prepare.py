"""Preparation: the same files whatever happens on the way, and no damaged file used."""

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isobyte.config.data import DataConfig, FilesCorpus, SyntheticCorpus
from isobyte.config.representation import BpeConfig, ByteDigitsConfig, BytesConfig
from isobyte.data import prepare as module
from isobyte.data.corpus import read
from isobyte.data.heldout import split_of
from isobyte.data.manifest import read_manifest
from isobyte.data.prepare import PARTIAL, prepare
from isobyte.data.prepared import Prepared
from isobyte.errors import UserError
from isobyte.representation import needs_training

DATA = DataConfig(corpus=SyntheticCorpus(documents=45, document_bytes=1000, alphabet=5))
BPE = BpeConfig(vocab_size=280)
KINDS = pytest.mark.parametrize("kind", [BytesConfig(), BPE, ByteDigitsConfig()], ids=lambda config: config.kind)


def texts(config: DataConfig, split: str) -> list[bytes]:
    pieces = enumerate(read(config, config.piece_bytes))
    return [piece for i, piece in pieces if split_of(i, config.heldout_every) == split]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@KINDS
def test_what_goes_in_comes_out(tmp_path: Path, kind: Any) -> None:
    prepared = prepare(DATA, kind, tmp_path, shard_bytes=4099)
    for split in ("train", "heldout"):
        stream, expected = prepared.stream(split), texts(DATA, split)
        assert list(stream.documents()) == expected
        assert stream.n_bytes == sum(map(len, expected)) == prepared.manifest.split(split).bytes
        assert stream.representation.count_bytes(stream.read(0, len(stream))) == stream.n_bytes
        np.testing.assert_array_equal(
            stream.read(0, len(stream)),
            np.concatenate([prepared.representation.encode(text) for text in expected]),
        )
    assert len(prepared.manifest.train.shards) > 1


def test_shards_are_raw_files_of_one_size(tmp_path: Path) -> None:
    prepared = prepare(DATA, BytesConfig(), tmp_path, shard_bytes=10_000)
    shards = sorted(tmp_path.glob("train-*.bin"))
    assert [path.stat().st_size for path in shards] == [10_000] * 4 + [1000]
    assert b"".join(path.read_bytes() for path in shards) == b"".join(texts(DATA, "train"))
    assert [shard.symbols for shard in prepared.manifest.train.shards] == [10_000] * 4 + [1000]


def test_representations_share_the_text(tmp_path: Path) -> None:
    plain, bpe = prepare(DATA, BytesConfig(), tmp_path / "a"), prepare(DATA, BPE, tmp_path / "b")
    for split in ("train", "heldout"):
        ours, theirs = plain.manifest.split(split), bpe.manifest.split(split)
        assert (ours.bytes, ours.documents, ours.text_crc32) == (
            theirs.bytes,
            theirs.documents,
            theirs.text_crc32,
        )
    assert plain.manifest.train.text_crc32 != plain.manifest.heldout.text_crc32
    assert bpe.manifest.alphabet["sha256"]


class Killed(Exception):
    pass


def interrupt(monkeypatch: pytest.MonkeyPatch, folder: Path, kind: Any, after: int) -> None:
    """Prepare in small groups with a checkpoint after each, and die before group `after`."""
    monkeypatch.setattr(module, "_GROUP_BYTES", 5000)
    groups = module._group
    seen = 0

    def dying(pieces: Any) -> list[bytes]:
        nonlocal seen
        seen += 1
        if seen > after:
            raise Killed
        return groups(pieces)

    monkeypatch.setattr(module, "_group", dying)
    with pytest.raises(Killed):
        prepare(DATA, kind, folder, shard_bytes=4096, checkpoint_seconds=-1)
    monkeypatch.setattr(module, "_group", groups)


@KINDS
@pytest.mark.parametrize("after", [0, 1, 4, 8])
def test_killed_and_resumed_is_as_never_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, after: int
) -> None:
    prepare(DATA, kind, tmp_path / "whole", shard_bytes=4096)
    folder = tmp_path / "killed"
    interrupt(monkeypatch, folder, kind, after)
    with pytest.raises(UserError, match="no prepared data here"):
        Prepared.open(folder)
    encoded = []
    monkeypatch.setattr(module, "_skip", lambda *args, skip=module._skip: encoded.append(skip(*args)) or encoded[0])
    prepare(DATA, kind, folder, shard_bytes=4096)
    assert encoded == [5 * after]
    assert content(folder) == content(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["more", "less", "changed", "table", "lost", "partial"])
def test_whatever_the_killed_run_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    prepare(DATA, BytesConfig(), tmp_path / "whole", shard_bytes=4096)
    folder = tmp_path / "killed"
    interrupt(monkeypatch, folder, BytesConfig(), 4)
    last = sorted(folder.glob("train-*.bin"))[-1]
    match damage:
        case "more":
            with last.open("ab") as out:
                out.write(b"written after the checkpoint")
        case "less":
            last.write_bytes(last.read_bytes()[:-1])
        case "changed":
            last.write_bytes(b"\xff" + last.read_bytes()[1:])
        case "table":
            (folder / "train.documents").write_bytes(b"")
        case "lost":
            (folder / "train-00000.bin").unlink()
        case _:
            (folder / PARTIAL).write_text("{")
    prepare(DATA, BytesConfig(), folder, shard_bytes=4096)
    assert content(folder) == content(tmp_path / "whole")


def test_another_job_begins_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, tmp_path / "a", BytesConfig(), 4)
    prepare(DATA, BPE, tmp_path / "a")
    prepare(DATA, BPE, tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_a_corpus_that_changes_under_way_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, tmp_path, BytesConfig(), 4)
    text = iter([b"other"] * 45)
    monkeypatch.setattr(module.corpus, "read", lambda *_: text)
    monkeypatch.setattr(module, "piece_bytes", lambda config: config.piece_bytes)
    with pytest.raises(UserError, match="has changed since the preparation began"):
        prepare(DATA, BytesConfig(), tmp_path, shard_bytes=4096)


def test_a_finished_folder_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(DATA, BytesConfig(), tmp_path)
    monkeypatch.setattr(module, "_write", None)
    prepare(DATA, BytesConfig(), tmp_path)
    with pytest.raises(UserError, match="holds another corpus, split or representation"):
        prepare(DATA.model_copy(update={"heldout_every": 5}), BytesConfig(), tmp_path)


def test_a_changed_source_is_noticed_a_missing_one_forgiven(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one two three four")
    data = DataConfig(corpus=FilesCorpus(paths=(str(path),)))
    prepare(data, BytesConfig(), tmp_path / "out")
    path.write_text("five")
    with pytest.raises(UserError, match="has changed since it was prepared"):
        prepare(data, BytesConfig(), tmp_path / "out")
    path.unlink()
    assert prepare(data, BytesConfig(), tmp_path / "out").manifest.train.bytes > 0


@pytest.mark.parametrize("name", ["train-00001.bin", "heldout-00000.bin", "train.documents"])
@pytest.mark.parametrize(
    ("damage", "message"), [("cut", r"it has \d+ bytes, not \d+"), ("flip", "checksum"), ("gone", "missing")]
)
def test_damage_is_refused_by_name(tmp_path: Path, name: str, damage: str, message: str) -> None:
    prepare(DATA, BytesConfig(), tmp_path, shard_bytes=8192)
    path = tmp_path / name
    old = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(old[:-1])
        case "flip":
            path.write_bytes(old[:-1] + bytes([old[-1] ^ 1]))
        case _:
            path.unlink()
    with pytest.raises(UserError, match=message) as refusal:
        Prepared.open(tmp_path)
    assert name in str(refusal.value)
    if damage == "flip":
        Prepared.open(tmp_path, verify=False)


def test_a_damaged_manifest_and_tokenizer(tmp_path: Path) -> None:
    prepare(DATA, BPE, tmp_path)
    manifest = tmp_path / "manifest.json"
    good = json.loads(manifest.read_text())
    for wrong in ("{", json.dumps(good | {"format": 99}), json.dumps(good | {"train": 1})):
        manifest.write_text(wrong)
        with pytest.raises(UserError, match="a damaged manifest"):
            Prepared.open(tmp_path)
    manifest.write_text(json.dumps(good | {"alphabet": {"kind": "bpe", "vocab_size": 280, "sha256": "0"}}))
    with pytest.raises(UserError, match="not the one of the manifest"):
        Prepared.open(tmp_path)
    shutil.rmtree(tmp_path / "representation")
    with pytest.raises(UserError, match="no readable representation"):
        Prepared.open(tmp_path)


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    def peak(megabytes: int) -> int:
        path = tmp_path / f"{megabytes}.txt"
        with path.open("wb") as out:
            for _ in range(megabytes):
                out.write(b"All work and no play makes a dull corpus.\n" * 25_000)
        tracemalloc.start()
        prepare(DataConfig(corpus=FilesCorpus(paths=(str(path),))), BytesConfig(), tmp_path / f"{megabytes}")
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return top

    peak(1)
    assert peak(48) < 1.2 * peak(12)


def test_progress_ends_with_everything(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    prepare(DATA, BytesConfig(), tmp_path, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (45_000, 45_000)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).bytes(50_000) + "é".encode() * 100
    (tmp_path / "raw.bin").write_bytes(raw)
    data = DataConfig(corpus=FilesCorpus(paths=(str(tmp_path / "raw.bin"),)))
    prepared = prepare(data, BpeConfig(vocab_size=258), tmp_path / "out")
    both = {split: list(prepared.stream(split).documents()) for split in ("train", "heldout")}
    whole = b"".join(both[split_of(i, 10)].pop(0) for i in range(sum(map(len, both.values()))))
    assert whole == raw


def test_only_some_representations_are_trained() -> None:
    assert needs_training(BPE)
    assert not needs_training(BytesConfig())
    assert not needs_training(ByteDigitsConfig())
    assert not needs_training(BpeConfig(path="tokenizer.json"))


def test_the_manifest_reads_back(tmp_path: Path) -> None:
    manifest = prepare(DATA, BPE, tmp_path).manifest
    assert read_manifest(tmp_path / "manifest.json") == manifest
    assert manifest.data == DATA
    assert manifest.data_hash == DATA.content_hash()
    assert manifest.source["kind"] == "synthetic"
