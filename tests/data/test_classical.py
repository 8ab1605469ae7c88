"""Classical compressors give back what they were given."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobyte.data.classical import CLASSICAL, Classical

TEXTS = [
    b"", b"a", b"abc" * 50, b"the same again, " * 2000,
    np.random.default_rng(0).integers(0, 256, 70_000, np.uint8).tobytes(),
]  # fmt: skip


def packed(one: Classical, parts: list[bytes]) -> bytes:
    compressor = one.compressor()
    return b"".join([*map(compressor.compress, parts), compressor.flush()])


@pytest.mark.parametrize("one", CLASSICAL, ids=lambda one: one.name)
@pytest.mark.parametrize("data", TEXTS, ids=len)
def test_round_trip(one: Classical, data: bytes) -> None:
    assert one.decompress(packed(one, [data]), len(data)) == data


@pytest.mark.parametrize("one", CLASSICAL, ids=lambda one: one.name)
@given(parts=st.lists(st.binary(max_size=30), max_size=4))
def test_in_parts(one: Classical, parts: list[bytes]) -> None:
    assert one.decompress(packed(one, parts), sum(map(len, parts))) == b"".join(parts)


def test_the_first_is_a_gzip_file_and_the_weakest() -> None:
    text = b"".join(b"line %d of a text that repeats itself, and yet not quite\n" % (i * i) for i in range(3000))
    sizes = [len(packed(one, [text])) for one in CLASSICAL]
    assert gzip.decompress(packed(CLASSICAL[0], [text])) == text
    assert sizes[0] == max(sizes)
