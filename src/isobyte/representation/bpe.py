"""Byte-level BPE (arXiv 1508.07909; over bytes as in GPT-2), lossless on every byte string.

The tokenizer sees text, so a byte string is first cut into runs. Text that decodes as UTF-8 goes through the
tokenizer; every byte that does not becomes its own single-byte symbol. Long input is cut into chunks by a
rule on the bytes alone: neither threads nor batches change the symbols.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tokenizers import Tokenizer

from isobyte.errors import UserError
from isobyte.files import write_atomic
from isobyte.representation.cut import pieces

CHUNK_BYTES = 1 << 14
_BATCH_RUNS = 256
INVALID = "\udc80-\udcff"
"""The characters by which Python's `surrogateescape` writes bytes that are not UTF-8."""


class Bpe:
    """A tokenizer with the byte string of each of its symbols.

    `file` is its `tokenizer.json`, `table` the bytes of each symbol, `byte_symbols` the symbol of each byte
    [256]; characters of `escaped` never reach the tokenizer but are spelt in bytes.
    """

    digits_per_byte = 1

    def __init__(
        self,
        tokenizer: Tokenizer,
        file: bytes,
        table: list[bytes],
        byte_symbols: list[int],
        escaped: str = "",
    ) -> None:
        self._tokenizer, self._file, self._table, self._byte_symbols = tokenizer, file, table, byte_symbols
        self._escape = re.compile(f"([{INVALID}{escaped}]+)")
        self.vocab_size = len(table)
        self.dtype = np.min_scalar_type(len(table) - 1)
        self._lengths = np.array([len(symbol) for symbol in table], np.int64)

    def encode(self, data: bytes) -> NDArray[np.unsignedinteger]:
        return self.encode_many([data])[0]

    def encode_many(self, documents: Sequence[bytes]) -> list[NDArray[np.unsignedinteger]]:
        runs = (
            (index, run)
            for index, data in enumerate(documents)
            for chunk in pieces(data, CHUNK_BYTES)
            for run in self._runs(chunk)
        )
        parts: list[list[NDArray[np.unsignedinteger]]] = [[] for _ in documents]
        while batch := list(islice(runs, _BATCH_RUNS)):  # a bound on what the tokenizer's own records take
            for (index, _), symbols in zip(batch, self._encode_runs([run for _, run in batch]), strict=True):
                parts[index].append(symbols)
        return [np.concatenate(part) if part else np.empty(0, self.dtype) for part in parts]

    def _runs(self, chunk: bytes) -> Iterator[str | bytes]:
        """Text for the tokenizer, and bytes to be spelt."""
        for place, run in enumerate(self._escape.split(chunk.decode("utf-8", "surrogateescape"))):
            if place % 2:
                yield run.encode("utf-8", "surrogateescape")
            elif run:
                yield run

    def _encode_runs(self, runs: list[str | bytes]) -> Iterator[NDArray[np.unsignedinteger]]:
        texts = [run for run in runs if isinstance(run, str)]
        encodings = iter(self._tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        for run in runs:
            if isinstance(run, str):
                ids = next(encodings).ids
                back = b"".join(map(self._table.__getitem__, ids))
                if back != run.encode():
                    raise UserError(f"not lossless: {_difference(run, back)}", how="use another tokenizer")
            else:
                ids = [self._byte_symbols[byte] for byte in run]
            yield np.array(ids, self.dtype)

    def decode(self, symbols: ArrayLike) -> bytes:
        array = np.asarray(symbols)
        if array.size and not (array.min() >= 0 and array.max() < self.vocab_size):
            raise ValueError(f"a symbol outside 0..{self.vocab_size - 1} stands for no bytes")
        return b"".join(map(self._table.__getitem__, array.tolist()))

    def count_bytes(self, symbols: NDArray[np.integer]) -> NDArray[np.int64]:
        return self._lengths[symbols].sum(-1)

    def byte_lengths(self) -> NDArray[np.int64]:
        return self._lengths

    def record(self) -> dict[str, str | int]:
        return {
            "kind": "bpe",
            "vocab_size": self.vocab_size,
            "sha256": hashlib.sha256(self._file).hexdigest(),
        }

    def save(self, folder: Path) -> None:
        write_atomic(folder / "tokenizer.json", self._file)


def _difference(text: str, back: bytes) -> str:
    """Both strings from shortly before they part."""
    other = back.decode("utf-8", "backslashreplace")
    at = max(next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0) - 8, 0)
    return f"{text[at : at + 24]!a} comes back as {other[at : at + 24]!a}"
