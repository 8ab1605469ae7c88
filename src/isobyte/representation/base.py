"""The interface of a representation, and the way from config and folder to one."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isobyte.config import representation as configs
from isobyte.errors import UserError
from isobyte.files import read_json, write_json
from isobyte.representation.bytes_ import Bytes
from isobyte.representation.digits import ByteDigits


class Representation(Protocol):
    """A lossless map between byte strings and symbols.

    For every byte string b: `decode(encode(b)) == b`, and `count_bytes` of any parts it is cut into sum to `len(b)`.
    Symbols are cut at any place but for digits, where only every `digits_per_byte`-th place lies between two bytes;
    what lies between such places always stands for the same bytes, so `decode` of parts is part of `decode`.
    """

    @property
    def vocab_size(self) -> int:
        """Symbols the model predicts: no start symbol, no mask."""
        ...

    @property
    def digits_per_byte(self) -> int:
        """Symbols that spell one byte; 1 where every symbol is whole bytes."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest of uint8, uint16, uint32 that holds every symbol."""
        ...

    def encode(self, data: bytes) -> NDArray[np.unsignedinteger]:
        """Symbols [n] of `data`; a function of the bytes alone, never of threads or batching."""
        ...

    def encode_many(self, documents: Sequence[bytes]) -> list[NDArray[np.unsignedinteger]]:
        """`encode` of each document, in parallel where that pays."""
        ...

    def decode(self, symbols: ArrayLike) -> bytes:
        """The bytes of symbols [n]. Raises ValueError for a symbol outside the alphabet, and for part of a byte."""
        ...

    def count_bytes(self, symbols: NDArray[np.integer]) -> NDArray[np.int64]:
        """Bytes [...] of rows of symbols [..., T]. Raises ValueError for rows of digits that end inside a byte."""
        ...

    def byte_lengths(self) -> NDArray[np.int64]:
        """Bytes of each symbol [vocab_size]. Raises UserError for digits, which are parts of one."""
        ...

    def record(self) -> dict[str, str | int]:
        """What identifies it: kind, vocab_size and, where there is one, the tokenizer file's SHA-256."""
        ...

    def save(self, folder: Path) -> None:
        """Write whatever `load` needs beside the record."""
        ...


_RECORD = "representation.json"


def build(config: configs.Representation, documents: Iterable[bytes] = ()) -> Representation:
    """The representation that `config` describes; one that must be trained is trained on `documents`.

    Raises UserError where a tokenizer is not lossless or the documents are too few to learn from.
    """
    match config:
        case configs.BytesConfig():
            return Bytes()
        case configs.ByteDigitsConfig():
            return ByteDigits(config.base)
        case configs.BpeConfig(path=None):
            from isobyte.representation.bpe_train import train

            return train(config, documents)
        case configs.BpeConfig():
            from isobyte.representation.bpe_file import read

            return read(config)


def needs_training(config: configs.Representation) -> bool:
    return isinstance(config, configs.BpeConfig) and config.path is None


def save(representation: Representation, folder: Path) -> None:
    """Write `representation` into `folder`, whole: the file a tokenizer came from is needed no more."""
    representation.save(folder)
    write_json(folder / _RECORD, representation.record())


def load(folder: Path) -> Representation:
    """The representation saved in `folder`. Raises UserError where it is missing or damaged."""
    try:
        record = read_json(folder / _RECORD)
        kind = record["kind"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UserError("no readable representation", where=str(folder), how="prepare again") from problem
    match kind:
        case "bytes":
            loaded: Representation = Bytes()
        case "digits" if record.get("vocab_size") in configs.DIGITS_PER_BYTE:
            loaded = ByteDigits(record["vocab_size"])
        case "bpe":
            from isobyte.representation.bpe_file import load as load_bpe

            loaded = load_bpe(folder)
        case _:
            raise UserError(f"unknown kind of representation {kind!r}", where=str(folder / _RECORD))
    if loaded.record() != record:
        raise UserError("the representation is not the one recorded", where=str(folder), how="prepare again")
    return loaded
