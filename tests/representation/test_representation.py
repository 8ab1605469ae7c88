"""Law 1: decode(encode(b)) == b for every byte string, and the symbols' bytes sum to its length."""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizer_files as files
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from isobyte.config.representation import BpeConfig, ByteDigitsConfig, BytesConfig
from isobyte.errors import UserError
from isobyte.representation import Representation, build, load, save
from isobyte.representation.bpe import CHUNK_BYTES
from isobyte.representation.bpe_file import from_bytes
from isobyte.representation.cut import cut, pieces

TEXT = [text.encode() for text in files.TEXT]


@functools.cache
def representation(kind: str) -> Representation:
    match kind:
        case "bytes":
            return build(BytesConfig())
        case "bits":
            return build(ByteDigitsConfig(base=2))
        case "bit pairs":
            return build(ByteDigitsConfig(base=4))
        case "nibbles":
            return build(ByteDigitsConfig(base=16))
        case "trained":
            return build(BpeConfig(vocab_size=290), TEXT)
        case "byte-level file":
            return from_bytes(files.byte_level().to_str().encode(), kind)
        case _:
            return from_bytes(files.sentencepiece(prefix=False).to_str().encode(), kind)


WHOLE = ["bytes", "trained", "byte-level file", "sentencepiece file"]
"""Those whose symbols are whole bytes."""
DIGITS = ["bits", "bit pairs", "nibbles"]
KINDS = [*WHOLE, *DIGITS]
pieces_of_text = st.sampled_from(
    [
        b"the cat",
        b" ",
        b"\n",
        b"\xff",
        "é▁".encode(),
        b"\xe2\x96",
        b"<s>",
        b"<0x41>",
        b"<|endoftext|>",
        b"\x00",
    ]
)
byte_strings = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(str.encode),
    st.lists(pieces_of_text, max_size=30).map(b"".join),
)


@pytest.mark.parametrize("kind", KINDS)
@given(data=byte_strings)
def test_lossless(kind: str, data: bytes) -> None:
    it = representation(kind)
    symbols = it.encode(data)
    assert symbols.dtype == it.dtype
    assert it.decode(symbols) == data
    assert it.count_bytes(symbols) == len(data)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(min_size=1, max_size=60), parts=st.integers(1, 4))
def test_the_bytes_of_parts_sum_to_those_of_the_whole(kind: str, data: bytes, parts: int) -> None:
    """However rows of symbols are cut, as long as they are cut between two bytes."""
    it = representation(kind)
    symbols = it.encode(data)
    places = len(symbols) // it.digits_per_byte // parts * it.digits_per_byte
    rows, rest = symbols[: places * parts].reshape(parts, places), symbols[places * parts :]
    counted = it.count_bytes(rows)
    assert counted.shape == (parts,)
    assert [len(it.decode(row)) for row in rows] == counted.tolist()
    assert counted.sum() + it.count_bytes(rest) == len(data)
    assert b"".join([*map(it.decode, rows), it.decode(rest)]) == data


@pytest.mark.parametrize("kind", WHOLE)
@given(data=byte_strings)
def test_each_symbol_has_a_length(kind: str, data: bytes) -> None:
    it = representation(kind)
    assert it.digits_per_byte == 1
    assert it.byte_lengths()[it.encode(data)].sum() == len(data)
    assert it.byte_lengths().shape == (it.vocab_size,)


@pytest.mark.parametrize(
    ("kind", "digits"), [("bits", [1, 0, 1, 1, 0, 0, 1, 0]), ("bit pairs", [2, 3, 0, 2]), ("nibbles", [11, 2])]
)
def test_the_most_significant_digit_comes_first(kind: str, digits: list[int]) -> None:
    it = representation(kind)
    assert it.encode(b"\xb2").tolist() == digits
    assert it.encode(b"\xb2\x00\xff").tolist() == digits + [0] * len(digits) + [it.vocab_size - 1] * len(digits)
    assert it.digits_per_byte == len(digits)
    assert it.vocab_size ** len(digits) == 256


@pytest.mark.parametrize("kind", DIGITS)
def test_part_of_a_byte_is_refused(kind: str) -> None:
    it = representation(kind)
    symbols = it.encode(b"ab")
    for size in range(2 * it.digits_per_byte):
        if size % it.digits_per_byte:
            for ask in (it.decode, it.count_bytes):
                with pytest.raises(ValueError, match="end inside a byte"):
                    ask(symbols[:size])
    with pytest.raises(UserError, match="parts of a byte"):
        it.byte_lengths()


@given(base=st.sampled_from([2, 4, 16]))
def test_digits_are_known_before_any_text(base: Any) -> None:
    config = ByteDigitsConfig(base=base)
    it = build(config)
    assert (config.vocab_size, config.digits_per_byte) == (it.vocab_size, it.digits_per_byte)
    assert config.bytes_per_symbol * len(it.encode(b"abc")) == 3


def test_bases_in_which_codes_would_stand_for_nothing() -> None:
    for base in (1, 3, 8, 10, 256):
        with pytest.raises(ValidationError):
            ByteDigitsConfig(base=base)


@pytest.mark.parametrize("kind", KINDS)
def test_long_input_and_batches(kind: str) -> None:
    it = representation(kind)
    documents = [
        b"the cat sat. " * 5000,
        b"",
        bytes(range(256)) * 300,
        b"\n" * 40_000,
        b"x" * (CHUNK_BYTES + 1),
    ]
    together = it.encode_many(documents)
    for data, symbols in zip(documents, together, strict=True):
        assert it.decode(symbols) == data
        np.testing.assert_array_equal(symbols, it.encode(data))


def test_chunks_leave_ordinary_text_as_it_was() -> None:
    """At a single blank the pattern would have cut anyway, so the chunks do not show."""
    bpe = representation("trained")
    text = b"the naive cat sat on the mat and " * 3000
    whole = bpe._tokenizer.encode(text.decode(), add_special_tokens=False).ids  # type: ignore[attr-defined]
    assert len(text) > 4 * CHUNK_BYTES
    assert bpe.encode(text).tolist() == whole


@pytest.mark.parametrize("kind", KINDS)
def test_symbols_outside_the_alphabet_are_refused(kind: str) -> None:
    it = representation(kind)
    for symbol in (-1, it.vocab_size):
        with pytest.raises(ValueError, match="outside"):
            it.decode(np.array([symbol]))
    assert it.decode([]) == b""


@pytest.mark.parametrize("kind", WHOLE)
def test_every_symbol_has_bytes(kind: str) -> None:
    it = representation(kind)
    assert (it.byte_lengths() >= 1).all()
    assert len(it.decode(np.arange(it.vocab_size))) == it.byte_lengths().sum()


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(kind: str, tmp_path: Path) -> None:
    it = representation(kind)
    save(it, tmp_path)
    again = load(tmp_path)
    assert again.record() == it.record()
    np.testing.assert_array_equal(again.encode(b"the naive cat\xff"), it.encode(b"the naive cat\xff"))


def test_a_record_in_a_base_that_is_none_is_refused(tmp_path: Path) -> None:
    save(representation("bits"), tmp_path)
    path = tmp_path / "representation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 3}))
    with pytest.raises(UserError, match="unknown kind of representation"):
        load(tmp_path)


def test_a_changed_tokenizer_is_refused(tmp_path: Path) -> None:
    save(representation("trained"), tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(UserError, match="not the one recorded"):
        load(tmp_path)
    with pytest.raises(UserError, match="no readable representation"):
        load(tmp_path / "nowhere")


def test_training_is_the_same_with_any_number_of_threads() -> None:
    program = (
        "import sys; sys.path.insert(0, 'tests/representation')\n"
        "from test_representation import TEXT, BpeConfig, build\n"
        "print(build(BpeConfig(vocab_size=290), TEXT).record()['sha256'])"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"RAYON_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
            cwd=Path(__file__).parents[2],
        ).stdout
        for threads in ("1", "3")
    }
    assert len(hashes) == 1


def test_too_little_text_to_train_on() -> None:
    with pytest.raises(UserError, match=r"yields only \d+ of 5000 symbols"):
        build(BpeConfig(vocab_size=5000), TEXT)
    with pytest.raises(ValidationError, match="needs vocab_size"):
        BpeConfig()


def test_training_text_may_hold_invalid_bytes() -> None:
    bpe = build(BpeConfig(vocab_size=260), [b"the cat\xff\xfe the cat the cat\x80" * 10])
    assert bpe.vocab_size == 260


@given(data=st.binary(max_size=300), limit=st.integers(1, 50))
def test_cut_keeps_everything_and_its_bounds(data: bytes, limit: int) -> None:
    parts = list(pieces(data, limit))
    assert b"".join(parts) == data
    assert all(3 * limit // 4 <= len(part) <= limit for part in parts[:-1] if limit >= 16)
    assert all(0 < len(part) <= limit for part in parts)


@given(text=st.text(alphabet="aé日🙂", min_size=1, max_size=100), limit=st.integers(4, 50))
def test_cut_never_parts_a_character(text: str, limit: int) -> None:
    assert "".join(part.decode() for part in pieces(text.encode(), limit)) == text


def test_cut_prefers_line_breaks_then_blanks() -> None:
    assert cut(b"aaaa bbbb\ncc ddd", 12) == 10
    assert cut(b"aaaa bbbbbcc ddd", 13) == 12
    assert cut(b"aaaa bbbb\n\n  ddd", 12) == 12
