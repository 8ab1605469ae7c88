"""Classical compressors at their strongest settings: the lines that a model's bits per byte are read against."""

import importlib
import importlib.util
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import zstandard

from isobyte.errors import UserError


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


@dataclass(frozen=True)
class Classical:
    """`compressor()` takes a text in parts; `decompress` takes a file whole, and the length of the text."""

    name: str
    compressor: Callable[[], Compressor]
    decompress: Callable[[bytes, int], bytes]


def gzip() -> Compressor:
    return zlib.compressobj(9, wbits=31)


def xz(*, extreme: bool = False) -> Compressor:
    return lzma.LZMACompressor(preset=9 | (lzma.PRESET_EXTREME if extreme else 0))


def zstd() -> Compressor:
    return zstandard.ZstdCompressor(level=19).compressobj()


class _Brotli:
    def __init__(self) -> None:
        self._inner = _module("brotli").Compressor(quality=11, lgwin=24)

    def compress(self, data: bytes, /) -> bytes:
        return self._inner.process(data)

    def flush(self) -> bytes:
        return self._inner.finish()


PPMD_ORDER, PPMD_MEMORY = 16, 256 << 20


class _Ppmd:
    def __init__(self) -> None:
        self._inner = _module("pyppmd").Ppmd7Encoder(PPMD_ORDER, PPMD_MEMORY)

    def compress(self, data: bytes, /) -> bytes:
        return self._inner.encode(data)

    def flush(self) -> bytes:
        return self._inner.flush()


def ppmd() -> Compressor | None:
    """None where it is not installed."""
    return _Ppmd() if importlib.util.find_spec("pyppmd") else None


def _ppmd_back(packed: bytes, length: int) -> bytes:
    decoder = _module("pyppmd").Ppmd7Decoder(PPMD_ORDER, PPMD_MEMORY)
    data = decoder.decode(packed, length)
    while len(data) < length:  # the last symbols are asked for by a byte more than there is
        more = decoder.decode(b"\0", length - len(data))
        if not more:
            break
        data += more
    return data


CLASSICAL = (
    Classical("gzip -9", gzip, lambda packed, _: zlib.decompress(packed, wbits=31)),
    Classical("xz -9e", lambda: xz(extreme=True), lambda packed, _: lzma.decompress(packed)),
    Classical("zstd -19", zstd, lambda packed, _: zstandard.ZstdDecompressor().decompressobj().decompress(packed)),
    Classical("brotli -11", _Brotli, lambda packed, _: _module("brotli").decompress(packed)),
    Classical(f"PPMd -o{PPMD_ORDER}", _Ppmd, _ppmd_back),
)
"""PPMd is variant H in 256 MiB."""


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(
            f"{name} is not installed", where="bench", how='install it: pip install "isobyte[bench]"'
        ) from None
