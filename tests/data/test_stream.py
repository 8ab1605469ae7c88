"""Streams: the same whatever the shards, and the raw bytes behind every place."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobyte.config.representation import BpeConfig, ByteDigitsConfig, BytesConfig
from isobyte.data.stream import Stream, stream_from_file
from isobyte.errors import UserError
from isobyte.representation import build

BYTES = build(BytesConfig())
BITS, NIBBLES = build(ByteDigitsConfig(base=2)), build(ByteDigitsConfig(base=16))
BPE = build(BpeConfig(vocab_size=259), [b"ab ab abab ab"] * 9)


def sharded(stream: Stream, size: int) -> Stream:
    """The same stream over several parts."""
    symbols = stream.read(0, len(stream))
    parts = [symbols[i : i + size] for i in range(0, len(symbols), size)]
    return Stream(stream.representation, parts, stream.table, stream.n_bytes)


@given(
    texts=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=10),
    size=st.integers(1, 40),
    start=st.integers(0, 200),
    length=st.integers(0, 100),
)
@pytest.mark.parametrize("representation", [BYTES, BPE, BITS], ids=["bytes", "bpe", "bits"])
def test_reading(representation: object, texts: list[bytes], size: int, start: int, length: int) -> None:
    stream = Stream.of(texts, representation)  # type: ignore[arg-type]
    parts = sharded(stream, size)
    whole = stream.read(0, len(stream))
    assert len(parts) == len(stream) == len(whole)
    np.testing.assert_array_equal(parts.read(start, start + length), whole[start : start + length])
    assert parts.read(start, start + length).dtype == whole.dtype
    assert list(parts.documents()) == texts
    assert parts.read_bytes(start, start + length) == b"".join(texts)[start : start + length]


def test_a_users_file(tmp_path: Path) -> None:
    raw = b"\xff\xfe not UTF-8 \x00" * 40_000
    (tmp_path / "a.bin").write_bytes(raw)
    for representation in (BYTES, BPE, BITS):
        stream = stream_from_file(str(tmp_path / "a.bin"), representation)
        assert stream.n_bytes == len(raw)
        assert b"".join(stream.documents()) == raw
    (tmp_path / "rows.jsonl").write_text('{"body": "ab"}\n{"body": "c"}\n')
    assert list(stream_from_file(str(tmp_path / "rows.jsonl"), BYTES, "body").documents()) == [b"ab", b"c"]
    (tmp_path / "empty.txt").touch()
    with pytest.raises(UserError, match=r"empty\.txt: it is empty"):
        stream_from_file(str(tmp_path / "empty.txt"), BYTES)
    with pytest.raises(UserError, match="no such file"):
        stream_from_file(str(tmp_path / "absent.txt"), BYTES)
