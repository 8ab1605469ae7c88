"""Rows of whole patches: every byte once an epoch, and what a row shows of patches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobyte.data import patch_window
from isobyte.data.patch_window import PatchWindows, row_offsets
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.representation.bytes_ import Bytes

BITS = st.lists(st.booleans(), min_size=1, max_size=200)


def stream_of(length: int) -> Stream:
    text = np.random.default_rng(length).integers(0, 256, length).astype(np.uint8).tobytes()
    return Stream.of([text], Bytes())


def windows_of(bits: list[bool], patches: int, longest: int, seed: int = 0) -> PatchWindows:
    found = np.array([True, *bits[1:]])
    return PatchWindows(
        stream_of(len(bits)), lambda start, stop: found[start:stop], patches=patches, longest=longest, seed=seed
    )


def slow_offsets(bits: list[bool], patches: int, longest: int) -> list[int]:
    """Byte by byte, in the order of the definition."""
    found = [0]
    while found[-1] < len(bits):
        start, opened, end = found[-1], 0, None
        for place in range(start + 1, min(start + longest, len(bits)) + 1):
            if place == len(bits) or bits[place]:
                opened, end = opened + 1, place
            if opened == patches:
                break
        found.append(start + longest if end is None else end)
    return found


@given(BITS, st.integers(1, 9), st.integers(0, 30), st.integers(1, 20))
def test_rows_are_as_defined_whatever_the_pieces(bits: list[bool], patches: int, more: int, piece: int) -> None:
    longest = patches + more
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patch_window, "_PIECE", piece)
        found = windows_of(bits, patches, longest).offsets
    assert found.tolist() == slow_offsets(bits, patches, longest)


@given(BITS, st.integers(1, 9), st.integers(0, 30), st.integers(0, 3))
def test_every_byte_is_predicted_once_an_epoch(bits: list[bool], patches: int, more: int, epoch: int) -> None:
    windows = windows_of(bits, patches, patches + more)
    rows = windows.batch(epoch * windows.per_epoch, windows.per_epoch)
    index = windows.rows(epoch * windows.per_epoch, windows.per_epoch)
    targets = [rows.x_NT[row, : rows.length_N[row]] for row in np.argsort(index)]
    assert np.array_equal(np.concatenate(targets), windows.stream.read(0, len(bits)))
    for row, place in enumerate(index):
        length, start = rows.length_N[row], windows.offsets[place]
        assert length <= patches + more
        assert rows.starts[row, :2].all()  # BOS, and the first byte
        assert rows.starts[row, 2 : length + 1].tolist() == bits[start + 1 : start + length]
        assert not rows.starts[row, length + 1 :].any()
        assert not rows.x_NT[row, length:].any()
        shown = int(rows.starts[row, 1:].sum())  # latents: BOS and all patches but the last
        assert shown <= patches
        cut = start + length < len(bits) and not bits[start + length]
        if shown < patches and not cut and start + length < len(bits):
            following = next((t for t in range(start + length + 1, len(bits)) if bits[t]), len(bits))
            assert following - start > patches + more, "another patch would have fitted"


def test_a_batch_is_a_function_of_seed_and_place() -> None:
    bits = (np.random.default_rng(0).random(3000) < 0.3).tolist()
    windows = windows_of(bits, 5, 40, seed=3)
    again = windows_of(bits, 5, 40, seed=3)
    whole = windows.batch(0, 2 * windows.per_epoch)
    for first, count in ((0, 1), (windows.per_epoch - 2, 4), (7, 50)):
        part = again.batch(first, count)
        expected = whole.part(first, first + count)
        for name in ("x_NT", "length_N", "starts"):
            np.testing.assert_array_equal(getattr(part, name), getattr(expected, name))
    order = windows.rows(0, windows.per_epoch)
    assert not np.array_equal(order, windows.rows(windows.per_epoch, windows.per_epoch))
    assert not np.array_equal(order, windows_of(bits, 5, 40, seed=4).rows(0, windows.per_epoch))
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.2


def test_a_patch_that_is_too_long_is_cut() -> None:
    bits = [True, True, *[False] * 24, True, False]
    windows = windows_of(bits, 2, 10)
    assert windows.offsets.tolist() == [0, 1, 11, 21, 28]
    assert row_offsets(lambda a, b: np.array(bits[a:b]), 28, 2, 26).tolist() == [0, 26, 28]


def test_no_text_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.patches.*empty"):
        PatchWindows(Stream.of([], Bytes()), lambda _a, _b: np.empty(0, np.bool_), patches=1, longest=9, seed=0)
