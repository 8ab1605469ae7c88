"""The identity: every byte is a symbol."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Bytes:
    vocab_size = 256
    digits_per_byte = 1
    dtype = np.dtype(np.uint8)

    def encode(self, data: bytes) -> NDArray[np.uint8]:
        return np.frombuffer(data, np.uint8)

    def encode_many(self, documents: Sequence[bytes]) -> list[NDArray[np.uint8]]:
        return [self.encode(data) for data in documents]

    def decode(self, symbols: ArrayLike) -> bytes:
        array = np.asarray(symbols)
        if array.size and not (array.min() >= 0 and array.max() <= 255):
            raise ValueError("a symbol outside 0..255 is no byte")
        return array.astype(np.uint8).tobytes()

    def count_bytes(self, symbols: NDArray[np.integer]) -> NDArray[np.int64]:
        return np.full(symbols.shape[:-1], symbols.shape[-1], np.int64)

    def byte_lengths(self) -> NDArray[np.int64]:
        return np.ones(256, np.int64)

    def record(self) -> dict[str, str | int]:
        return {"kind": "bytes", "vocab_size": 256}

    def save(self, folder: Path) -> None:
        """Nothing beside the record is needed."""
