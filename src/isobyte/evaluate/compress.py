"""Files to files by a finished run, and what they cost."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch

from isobyte.config.objective import PatchMaskedConfig
from isobyte.errors import UserError
from isobyte.evaluate.bpb import run_settings
from isobyte.evaluate.loaded import LoadedRun, load_run
from isobyte.files import write_atomic
from isobyte.likelihood.codec import Codec, CodeLength, Progress
from isobyte.likelihood.codec_file import CAPABILITIES, DIGEST_BYTES, Environment, Header, pack, unpack
from isobyte.likelihood.route import Route, Unit, plan_route
from isobyte.objective.permutation import reading_of
from isobyte.train.runtime import environment


@dataclass(frozen=True)
class Wishes:
    """How to walk, where the objective leaves it open; None takes the default."""

    rule: str | None = None
    per_step: int | None = None
    seed: int = 0
    unit: Unit | None = None
    group: int | None = None


def compress(
    run: LoadedRun, data: bytes, wishes: Wishes | None = None, *, progress: Progress | None = None
) -> tuple[bytes, dict[str, Any]]:
    """The compressed file, and a JSON-ready record of it. Raises UserError for an order the objective does not have."""
    started = time.perf_counter()
    codec, symbols = _codec(run, _route(run, wishes or Wishes())), run.representation.encode(data)
    payload, length = codec.encode(symbols, progress=progress)
    header = Header(
        model=model_digest(run),
        digest=_digest(data),
        environment=environment_here(run.device),
        route=codec.route,
        symbols=len(symbols),
        raw_bytes=len(data),
        bits=ceil(length.bits),
    )
    packed = pack(header, payload)
    sizes = {"bytes_out": len(packed), "header_bytes": len(packed) - len(payload)}
    return packed, _record(run, codec.route, data, length, started, sizes)


def cost(
    run: LoadedRun, data: bytes, wishes: Wishes | None = None, *, progress: Progress | None = None
) -> dict[str, Any]:
    """The record of `compress` without a coder: the walk alone says what the file would be."""
    started = time.perf_counter()
    codec = _codec(run, _route(run, wishes or Wishes()))
    length = codec.code_length(run.representation.encode(data), progress=progress)
    return _record(run, codec.route, data, length, started, {})


def decompress(
    path: Path, packed: bytes, *, where: str, force: bool = False, progress: Progress | None = None
) -> tuple[bytes, dict[str, Any]]:
    """The raw bytes that were compressed with the run in `path`, and a record; `where` names the file in errors.

    Uses the recorded number of threads and the recorded device. Raises UserError for a file that is cut off, damaged,
    of another model, or written where arithmetic may differ in the last bit; `force` tries the last, and what comes
    out other than it went in is refused all the same.
    """
    started = time.perf_counter()
    header, payload = unpack(packed, where)
    there = header.environment
    usable = there.device == "cpu" or torch.cuda.is_available()
    run = load_run(path, there.device if usable else "cpu")
    if model_digest(run) != header.model:
        raise UserError(
            f"was made by the model {header.model.hex()}, and {path} is {model_digest(run).hex()}",
            where=where,
            how="name the run that it was compressed with",
        )
    with threads(there.threads):
        differences = there.differences(environment_here(run.device))
        if differences and not force:
            raise UserError(
                f"was written with {', '.join(differences)}: a probability may differ in its last bit",
                where=where,
                how="decompress there, or try with --force: only the right bytes are ever written",
            )
        data = _decoded(run, header, payload, progress)
    if data is None or len(data) != header.raw_bytes or _digest(data) != header.digest:
        raise UserError(
            "comes out other than it went in: this machine's arithmetic is not that of the one that wrote it",
            where=where,
            how="decompress it there",
        )
    seconds = time.perf_counter() - started
    return data, {
        "bytes_in": len(packed),
        "bytes_out": len(data),
        "code_length_bits": header.bits,
        "model": header.model.hex(),
        "seconds": seconds,
        "bytes_per_second": len(data) / seconds,
        "forced": bool(differences),
    }


def compress_file(
    path: Path,
    source: Path,
    target: Path | None,
    wishes: Wishes,
    *,
    device: str,
    number_of_threads: int | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Compress `source` into `target` with the run in `path`, or only say what it costs where that is None."""
    data = read(source)
    run = load_run(path, device, number_of_threads)
    if target is None:
        return cost(run, data, wishes, progress=progress)
    packed, record = compress(run, data, wishes, progress=progress)
    write_atomic(target, packed)
    return record


def decompress_file(
    path: Path, source: Path, target: Path, *, force: bool, progress: Progress | None
) -> dict[str, Any]:
    data, record = decompress(path, read(source), where=str(source), force=force, progress=progress)
    write_atomic(target, data)
    return record


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise UserError(f"cannot be read ({problem.strerror})", where=str(path), how="name a file") from None


def model_digest(run: LoadedRun) -> bytes:
    """Of the weights' file, of what the representation is, and of all else that decoding asks."""
    record = json.dumps(run.representation.record(), sort_keys=True)
    found = hashlib.blake2b(record.encode(), digest_size=DIGEST_BYTES)
    found.update(run.folder.weights.read_bytes())
    if isinstance(run.config.objective, PatchMaskedConfig) and run.folder.boundaries.exists():
        found.update(run.folder.boundaries.read_bytes())  # the number of a window's patches is decoded by it
    return found.digest()


def environment_here(device: torch.device) -> Environment:
    """Of this process as it now stands. Probabilities are had in fp32."""
    facts = environment(device)
    capability = torch.backends.cpu.get_cpu_capability()
    names = [str(facts[name]) for name in ("isobyte", "torch", "machine", "cpu", "device")]
    told = "|".join([*names, capability, "float32"]).encode()
    major, minor, patch = map(int, (re.findall(r"\d+", torch.__version__) + ["0"] * 3)[:3])
    return Environment(
        torch=(major, minor, patch),
        capability=capability if capability in CAPABILITIES else "",
        device=device.type,
        threads=torch.get_num_threads(),
        build=int.from_bytes(hashlib.blake2b(told, digest_size=4).digest(), "little"),
    )


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _route(run: LoadedRun, wishes: Wishes) -> Route:
    return plan_route(
        run.config.objective,
        run.config.backbone,
        run.model.vocab,
        run.config.train.window,
        rule=wishes.rule,
        per_step=wishes.per_step,
        seed=wishes.seed,
        unit=wishes.unit,
        group=wishes.group,
    )


def _codec(run: LoadedRun, route: Route) -> Codec:
    reading = reading_of(run.config)
    if reading is not None and not reading.permutation.invertible:
        raise UserError(
            f"shuffles text by {reading.permutation.kind!r}, and nothing that it reads says how",
            where=str(run.folder.path),
            how="take a run whose permutation can be undone, or none",
        )
    return Codec(run.config.objective, run.model, route, run.device, reading, run_settings(run).counts)


def _record(
    run: LoadedRun, route: Route, data: bytes, length: CodeLength, started: float, sizes: dict[str, int]
) -> dict[str, Any]:
    seconds, size = time.perf_counter() - started, len(data)
    written = sizes.get("bytes_out")
    return {
        "bytes_in": size,
        **sizes,
        "ratio": written / size if written and size else None,
        "code_length_bits": length.bits,
        "model_bits": length.model_bits,
        "bpb": length.bits / size if size else None,
        "overhead": written * 8 / length.bits - 1 if written and length.bits else None,
        "seconds": seconds,
        "bytes_per_second": size / seconds,
        "objective": run.config.objective.kind,
        "order": route.order.rule,
        "per_step": route.order.per_step,
        "seed": route.order.seed,
        "unit": route.unit,
        "window": route.window,
        "group": route.group,
        "model": model_digest(run).hex(),
        "threads": torch.get_num_threads(),
        "device": str(run.device),
    }


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def _decoded(run: LoadedRun, header: Header, payload: bytes, progress: Progress | None) -> bytes | None:
    """None where the symbols, or the probabilities on the way to them, make no sense."""
    try:
        symbols = _codec(run, header.route).decode(payload, header.symbols, progress=progress)
        return run.representation.decode(symbols)
    except ValueError:
        return None
