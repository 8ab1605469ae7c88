"""Runs beside classical compressors on one file: size, time and memory, each in a process of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from isobyte.data.classical import CLASSICAL
from isobyte.errors import UserError
from isobyte.evaluate.compress import Wishes, compress, decompress, read
from isobyte.evaluate.contender import Record, classical, measured
from isobyte.evaluate.loaded import load_run


def bench_compress(
    runs: Sequence[Path],
    data: Path,
    wishes: Wishes,
    *,
    device: str,
    threads: int | None,
    report: Callable[[str], None] = lambda _line: None,
) -> list[Record]:
    """A record for each compressor and run; every one of them was decompressed and compared.

    A run is timed with the loading of its weights, as the others are with the building of their tables. Raises
    UserError for a file that is missing or empty, and for a run that is not finished.
    """
    if not read(data):
        raise UserError("is empty", where=str(data), how="name a file with something in it")
    jobs = [(one.name, partial(classical, index, data)) for index, one in enumerate(CLASSICAL)]
    jobs += [(run.name, partial(_run, run, data, wishes, device, threads)) for run in runs]
    rows = []
    for name, job in jobs:
        report(f"{name} ...")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append(pool.submit(job).result())
        report(f"{name}: {rows[-1]['bpb']:.4f} BPB")
    return rows


def _run(run: Path, path: Path, wishes: Wishes, device: str, threads: int | None) -> Record:
    data, told = path.read_bytes(), {}

    def there() -> bytes:
        packed, record = compress(load_run(run, device, threads), data, wishes)
        told.update({name: record[name] for name in ("code_length_bits", "objective", "order", "per_step", "threads")})
        return packed

    def back(packed: bytes) -> bytes:
        return decompress(run, packed, where=str(path))[0]

    return {"name": run.name, "kind": "run", "path": str(run), **measured(data, there, back), **told}
