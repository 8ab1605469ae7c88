"""Where a long text may be cut with the least harm."""

from collections.abc import Iterator

_TRIES = 64


def cut(data: bytes, limit: int) -> int:
    """How many leading bytes of `data` to take: at most `limit` > 0, at least three quarters of it.

    In order of preference: all of it; after a line break before text; before a single space between words;
    between two UTF-8 characters; at `limit`. The first three leave whole what BPE patterns keep together.
    Depends on `data[: limit + 2]` alone.
    """
    if len(data) <= limit:
        return len(data)
    least = limit - limit // 4
    for at in _backwards(data, b"\n", least - 1, limit):
        if not data[at + 1 : at + 2].isspace():
            return at + 1
    for at in _backwards(data, b" ", least, limit + 1):
        if not (data[at - 1 : at].isspace() or data[at + 1 : at + 2].isspace()):
            return at
    for at in range(limit, max(limit - 4, 0), -1):
        if data[at] & 0xC0 != 0x80:
            return at
    return limit


def _backwards(data: bytes, mark: bytes, start: int, stop: int) -> Iterator[int]:
    """Positions of `mark` from the right; bounded, so that pages of blanks cost no more than text."""
    for _ in range(_TRIES):
        stop = data.rfind(mark, start, stop)
        if stop < 0:
            return
        yield stop


def pieces(data: bytes, limit: int) -> Iterator[bytes]:
    """`data` in pieces of at most `limit` bytes, cut at the places that `cut` chooses."""
    start = 0
    while start < len(data):
        size = cut(data[start : start + limit + 2], limit)
        yield data[start : start + size]
        start += size
