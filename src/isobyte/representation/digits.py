"""Digits: bytes spelt in them, and symbols as base-b digits for an objective that hides digits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isobyte.config.objective import digit_shape
from isobyte.config.representation import DIGITS_PER_BYTE
from isobyte.errors import UserError
from isobyte.random import generator


class ByteDigits:
    """Every byte as 8 bits, 4 pairs of bits or 2 nibbles, most significant first: bases 2, 4 and 16."""

    dtype = np.dtype(np.uint8)

    def __init__(self, base: int) -> None:
        self.vocab_size, self.digits_per_byte = base, DIGITS_PER_BYTE[base]
        self._table = code_table(256, self.digits_per_byte, shuffle=False).astype(np.uint8)

    def encode(self, data: bytes) -> NDArray[np.uint8]:
        return self._table[np.frombuffer(data, np.uint8)].reshape(-1)

    def encode_many(self, documents: Sequence[bytes]) -> list[NDArray[np.uint8]]:
        return [self.encode(data) for data in documents]

    def decode(self, symbols: ArrayLike) -> bytes:
        array = np.asarray(symbols)
        if array.size and not (array.min() >= 0 and array.max() < self.vocab_size):
            raise ValueError(f"a symbol outside 0..{self.vocab_size - 1} is no digit")
        self.count_bytes(array)
        places = self.vocab_size ** np.arange(self.digits_per_byte - 1, -1, -1)
        return (array.astype(np.int64).reshape(-1, self.digits_per_byte) @ places).astype(np.uint8).tobytes()

    def count_bytes(self, symbols: NDArray[np.integer]) -> NDArray[np.int64]:
        whole, rest = divmod(symbols.shape[-1], self.digits_per_byte)
        if rest:
            raise ValueError(f"{symbols.shape[-1]} digits end inside a byte, which is {self.digits_per_byte}")
        return np.full(symbols.shape[:-1], whole, np.int64)

    def byte_lengths(self) -> NDArray[np.int64]:
        how = "take a run on bytes or BPE"
        raise UserError("digits are parts of a byte, and what is asked for counts whole ones", where="digits", how=how)

    def record(self) -> dict[str, str | int]:
        return {"kind": "digits", "vocab_size": self.vocab_size}

    def save(self, folder: Path) -> None:
        """Nothing beside the record is needed."""


def code_table(vocab: int, digits: int | None, *, shuffle: bool, seed: int = 0) -> NDArray[np.int64]:
    """[vocab, digits]: each symbol's digits, most significant first (MDM-Prime, arXiv 2505.18495). All rows differ.

    Shuffling renumbers symbols among 0..vocab-1 (Prime-v2), so codes of vocab and above never occur.
    """
    count, base = digit_shape(vocab, digits)
    number = generator(seed, "digits").permutation(vocab) if shuffle else np.arange(vocab)
    return number[:, None] // base ** np.arange(count - 1, -1, -1) % base
