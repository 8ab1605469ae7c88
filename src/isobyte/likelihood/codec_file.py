"""The compressed file: a binary header of about 50 bytes, the payload, a checksum (docs/codec.md has the table)."""

import struct
import zlib
from dataclasses import dataclass

from isobyte.errors import UserError
from isobyte.likelihood.route import ORDERS, Route
from isobyte.objective.order import Order

MAGIC = b"\xb1iso"
VERSION = 1
CAPABILITIES = ("", "DEFAULT", "NO AVX", "AVX2", "AVX512", "VSX", "Z VECTOR", "SVE", "SVE128", "SVE256")
"""Of PyTorch's CPU kernels; one that is not listed counts as the first."""
DEVICES = ("cpu", "cuda")
DIGEST_BYTES = 8
_FIXED = struct.Struct(f"<{DIGEST_BYTES}s{DIGEST_BYTES}sI3BBB")
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class Environment:
    """What the last bits of a probability depend on beside the model and the shapes."""

    torch: tuple[int, int, int]
    capability: str
    device: str
    threads: int
    build: int
    """32 bits of a hash of everything else: PyTorch's full version, ours, the processor, the precision."""

    def differences(self, here: "Environment") -> list[str]:
        """Where this one and `here` part, in words; threads are left out, since they can be set."""
        found = []
        if self.torch != here.torch:
            found.append(f"torch {_dotted(self.torch)} (here {_dotted(here.torch)})")
        if self.capability != here.capability:
            found.append(f"{self.capability or 'unknown'} kernels (here {here.capability or 'unknown'})")
        if self.device != here.device:
            found.append(f"{self.device} (here {here.device})")
        if not found and self.build != here.build:
            found.append("another processor, build of PyTorch or version of isobyte")
        return found


@dataclass(frozen=True)
class Header:
    model: bytes
    """Digest of weights and representation."""
    digest: bytes
    """Of the raw bytes."""
    environment: Environment
    route: Route
    symbols: int
    raw_bytes: int
    bits: int
    """The code length, rounded up."""


def pack(header: Header, payload: bytes) -> bytes:
    here, route = header.environment, header.route
    kernel = CAPABILITIES.index(here.capability) * len(DEVICES) + DEVICES.index(here.device)
    how = ORDERS.index(route.order.rule) * 2 + (route.unit == "digit")
    body = _FIXED.pack(header.model, header.digest, here.build, *here.torch, kernel, how)
    for number in (
        here.threads, route.order.per_step, route.order.seed, route.window, route.group,
        header.symbols, header.raw_bytes, header.bits,
    ):  # fmt: skip
        body += _varint(number)
    body += payload
    whole = MAGIC + bytes([VERSION]) + _varint(len(body)) + body
    return whole + _CRC.pack(zlib.crc32(whole))


def unpack(data: bytes, where: str) -> tuple[Header, bytes]:
    """Header and payload. Raises UserError for what is no such file, another version, cut off or damaged."""
    if not data.startswith(MAGIC):
        raise UserError("is not a file of `isobyte compress`", where=where)
    reader = _Reader(data, len(MAGIC), where)
    version = reader.take(1)[0]
    if version != VERSION:
        raise UserError(f"has version {version}, not {VERSION}", where=where, how="use the isobyte that wrote it")
    size = reader.varint()
    expected = reader.at + size + _CRC.size
    if len(data) < expected:
        raise UserError(f"is cut off: {len(data):,} of {expected:,} bytes", where=where, how="fetch it again")
    if len(data) > expected or zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
        raise UserError("is damaged: its checksum does not fit", where=where, how="fetch it again")
    model, digest, build, *torch, kernel, how = _FIXED.unpack(reader.take(_FIXED.size))
    threads, per_step, seed, window, group, symbols, raw_bytes, bits = (reader.varint() for _ in range(8))
    if (
        min(threads, per_step, window, group) < 1
        or how // 2 >= len(ORDERS)
        or kernel >= len(CAPABILITIES) * len(DEVICES)
    ):
        raise UserError("is damaged: its header makes no sense", where=where, how="fetch it again")
    order = Order(ORDERS[how // 2], per_step, seed)
    capability, device = CAPABILITIES[kernel // len(DEVICES)], DEVICES[kernel % len(DEVICES)]
    environment = Environment((torch[0], torch[1], torch[2]), capability, device, threads, build)
    route = Route(order, window, group, "digit" if how % 2 else "symbol")
    return Header(model, digest, environment, route, symbols, raw_bytes, bits), data[reader.at : -_CRC.size]


class _Reader:
    def __init__(self, data: bytes, at: int, where: str) -> None:
        self.data, self.at, self.where = data, at, where

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise UserError("is cut off within its header", where=self.where, how="fetch it again")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        """Seven bits a byte, lowest first; the top bit says that more follow."""
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))
