"""What a corpus is made of: named documents, and a record of where they come from."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from isobyte.errors import UserError

Source = dict[str, Any]
"""Plain JSON: `kind`, what and whose it is, `bytes` where known. It changes when the corpus does."""


class Document(NamedTuple):
    name: str
    blocks: Iterable[bytes]
    """Its bytes, in blocks of any size, to be read before the next document is asked for."""


def text_of(row: Mapping[str, Any], column: str, where: str) -> bytes:
    """The bytes of a table row's column."""
    if column not in row:
        have = ", ".join(map(str, row))
        raise UserError(f"no column {column!r}", where=where, how=f"set column to one of: {have}")
    value = row[column]
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return value
    raise UserError(f"column {column!r} holds {type(value).__name__}, not text", where=where)
