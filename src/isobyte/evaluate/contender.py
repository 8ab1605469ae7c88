"""What a compressor needs: measured in the process that it is called in. No torch, whose memory would count too."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isobyte.data.classical import CLASSICAL

Record = dict[str, Any]


def classical(index: int, path: Path) -> Record:
    one, data = CLASSICAL[index], path.read_bytes()

    def there() -> bytes:
        compressor = one.compressor()
        return compressor.compress(data) + compressor.flush()

    return {
        "name": one.name,
        "kind": "classical",
        **measured(data, there, lambda packed: one.decompress(packed, len(data))),
    }


def measured(data: bytes, there: Callable[[], bytes], back: Callable[[bytes], bytes]) -> Record:
    started = time.perf_counter()
    packed = there()
    middle = time.perf_counter()
    same = back(packed) == data
    seconds = {"compress": middle - started, "decompress": time.perf_counter() - middle}
    if not same:
        raise AssertionError("what was decompressed is not what was compressed")
    return {
        "bytes_in": len(data),
        "bytes_out": len(packed),
        "bpb": 8 * len(packed) / len(data),
        "seconds": seconds,
        "bytes_per_second": {name: len(data) / max(spent, 1e-9) for name, spent in seconds.items()},
        "peak_memory": _peak_memory(),
    }


def _peak_memory() -> int | None:
    """Bytes that this process has held at most, its interpreter and libraries included; None where unknown."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
