"""The user's files: formats, compression, order, and what is said when something is wrong."""

import gzip
import io
import json
import lzma
from pathlib import Path

import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from isobyte.config.data import FilesCorpus
from isobyte.data.corpus import documents, source
from isobyte.errors import UserError

ROWS = [{"text": "one\n", "id": 1}, {"text": "zwei é", "id": 2}]
TEXTS = [b"one\n", "zwei é".encode()]


def texts(*paths: Path | str, column: str = "text", separator: str = "") -> list[bytes]:
    config = FilesCorpus(paths=tuple(map(str, paths)), column=column, separator=separator)
    return [b"".join(document.blocks) for document in documents(config)]


def jsonl() -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in ROWS) + b"\n\n"


def table() -> bytes:
    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), out)
    return out.getvalue()


PACK = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]),
    ".xz": lambda data: lzma.compress(data[:5]) + lzma.compress(data[5:]),
    ".zst": lambda data: zstandard.compress(data[:5]) + zstandard.compress(data[5:]),
}


@pytest.mark.parametrize("packing", PACK)
def test_every_format_in_every_packing(tmp_path: Path, packing: str) -> None:
    """Packed files here have two members each, as parallel packers write them."""
    raw = bytes(range(256)) * 10_000
    for name, data, expected in [
        ("a.jsonl", jsonl(), TEXTS),
        ("a.parquet", table(), TEXTS),
        ("a.txt", raw, [raw]),
        ("a.bin", raw, [raw]),
        ("plain", raw, [raw]),
    ]:
        path = tmp_path / (name + packing)
        path.write_bytes(PACK[packing](data))
        assert texts(path) == expected


def test_binary_columns_and_separators(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.Table.from_pylist([{"raw": b"\xff\x00"}]), tmp_path / "a.parquet")
    assert texts(tmp_path / "a.parquet", column="raw", separator="\n\n") == [b"\xff\x00\n\n"]
    (tmp_path / "a.jsonl").write_text('{"text": "\\ud800"}')
    assert texts(tmp_path / "a.jsonl") == [b"\xed\xa0\x80"]


def test_folders_and_globs_are_read_by_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/y.md", ".git/config", "c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert texts(tmp_path) == [b"a/y.md", b"a/z.txt", b"b.txt", b"c.txt"]
    assert texts(f"{tmp_path}/**/*.txt") == [b"a/z.txt", b"b.txt", b"c.txt"]
    assert texts(tmp_path / "c.txt", f"{tmp_path}/*.txt") == [b"c.txt", b"b.txt"]


def test_a_large_file_comes_in_blocks(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * (3 << 20))
    for document in documents(FilesCorpus(paths=(str(tmp_path / "a.txt"),))):
        assert [len(block) for block in document.blocks] == [1 << 20] * 3


def test_the_source_record_notices_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    config = FilesCorpus(paths=(str(path),))
    before = source(config)
    assert before["bytes"] == 3
    assert source(config) == before
    path.write_text("four")
    assert source(config) != before
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one"))
    assert "bytes" not in source(FilesCorpus(paths=(str(tmp_path),)))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b'{"body": "x", "id": 1}', r"a\.jsonl line 1: no column 'text'; set column to one of: body, id"),
        ("a.jsonl", b'{"text": "x"}\n{"text"', r"a\.jsonl line 2: not JSON"),
        ("a.jsonl", b"[1]", r"a\.jsonl line 1: not a JSON object"),
        ("a.jsonl", b'{"text": 5}', r"column 'text' holds int, not text"),
        ("a.parquet", b"PAR1 no", r"a\.parquet: not a parquet file"),
        ("a.gz", b"no", r"a\.gz: cannot read it"),
        ("a.gz", gzip.compress(b"x" * 1000, mtime=0)[:-9], r"a\.gz: cannot read it"),
        ("a.xz", b"no", r"a\.xz: cannot read it"),
        ("a.xz", lzma.compress(b"x" * 1000)[:-9], r"a\.xz: cannot read it"),
        ("a.zst", b"no", r"a\.zst: cannot read it"),
        ("a.zst", zstandard.compress(b"x" * 1000)[:-9], r"a\.zst: cannot read it"),
        ("a.jsonl.gz", b"no", r"a\.jsonl\.gz: cannot read it"),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        texts(tmp_path / name)


def test_missing_files_and_columns(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(table())
    with pytest.raises(UserError, match=r"no column 'body'.*one of: text, id"):
        texts(tmp_path / "a.parquet", column="body")
    with pytest.raises(UserError, match="column 'id' holds int"):
        texts(tmp_path / "a.parquet", column="id")
    with pytest.raises(UserError, match="no such file or folder"):
        texts(tmp_path / "absent")
    with pytest.raises(UserError, match="no such file or folder"):
        texts(tmp_path / "*.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="this folder holds no files"):
        texts(tmp_path / "empty")
