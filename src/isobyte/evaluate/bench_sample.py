"""Bytes a second of a Byte Latent Transformer, beside what the machine's memory allows and beside transformers.

At one text every byte reads weights and little else happens, so the ceiling is the rate at which this machine reads
matrices for matrix-vector products, and the floor of a byte's time is what it must read at that rate.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.half import Weights
from isobyte.cost.blt import blt_parameters
from isobyte.decode.blt import Generated, generate
from isobyte.decode.blt_settings import Refresh, Settings
from isobyte.errors import UserError
from isobyte.evaluate.bench_ceiling import CEILINGS, cache_bytes, ceiling
from isobyte.evaluate.bench_subject import Subject, Theirs, subject
from isobyte.evaluate.generate import counters
from isobyte.train.runtime import Runtime, environment

STRETCH = 128
"""Last bytes of a text whose own rate is told."""
SHORT = 256
"""Texts up to this length are generated several times, and the median counts."""
Report = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    lengths: tuple[int, ...] = (64, 256, 1024, 4096)
    """New bytes, plainly decoded."""
    batch: int = 8
    drafts: tuple[int, ...] = (2, 4, 8, 16)
    refresh: tuple[Refresh, ...] = ("never", "at_boundary", "always")
    prompt_bytes: int = 64
    mean_length: float = 2.5
    peer_bytes: tuple[int, ...] = (64, 256)
    """New bytes that transformers generates; none leaves it out, and so does bf16, which decides ties by chance."""
    peer_estimate: int | None = 1024
    """New bytes whose time there is estimated from single calls."""
    repeats: int = 3
    graphs: bool | None = None
    """Plain decoding by steps of fixed shapes, recorded on CUDA; None does so on CUDA."""
    bf16: bool = False
    """Weights and arithmetic in bf16."""
    weights: tuple[Weights, ...] = ()
    """How weights lie in memory. With fp16 among them the model's are rounded to such numbers, for all that is
    measured, so that all have the same bytes to find. None given: fp32, and on CPUs fp16 too where weights are random
    or fp16 numbers already."""

    def check(self) -> None:
        """Raises UserError for what cannot be."""
        for where, least in (
            ("--lengths", min(self.lengths, default=0)), ("--batch", self.batch), ("--repeats", self.repeats),
            ("--drafts", min(self.drafts, default=1)), ("--prompt-bytes", self.prompt_bytes),
            ("--peer-bytes", min(self.peer_bytes, default=1)), ("--mean-length", self.mean_length),
        ):  # fmt: skip
            if least < 1:
                raise UserError(f"{least} is out of range", where=where, how="take 1 or more")
        if self.bf16 and self.weights:
            raise UserError("bf16 weights are 16 bits long already", where="--weights", how="leave it out")

    def halves(self) -> bool | None:
        """Whether weights are rounded to fp16."""
        return "fp16" in self.weights if self.weights or self.bf16 else None


def bench_sample(
    source: str | None,
    plan: Plan,
    runtime: Runtime,
    *,
    data: Path | None = None,
    report: Report = lambda _line: None,
) -> dict[str, Any]:
    """A JSON-ready record: ceiling, plain decoding by length, a batch, drafts, and transformers, all of one model.

    Every text is greedy. Rates are of decoding alone; what the prompt took stands beside them.
    """
    plan.check()
    device = runtime.apply()
    report("weights and threshold")
    model = subject(
        source, prompts=plan.batch, prompt_bytes=plan.prompt_bytes, device=device, mean_length=plan.mean_length,
        data=data, dtype=torch.bfloat16 if plan.bf16 else torch.float32, halves=plan.halves(),
    )  # fmt: skip
    ways: tuple[Weights, ...] = plan.weights or (("fp32", "fp16") if model.packed.halved else ("fp32",))
    benches = [_Bench(model, way, plan, report) for way in ways]
    before = [bench.ceiling() for bench in benches]
    measured = [bench.measure() for bench in benches]
    peer = benches[0].peer([row for found in measured for row in found["plain"]])
    rates = {way: (first, bench.ceiling()) for way, first, bench in zip(ways, before, benches, strict=True)}
    fastest = {way: {name: max(each[name] for each in found) for name in CEILINGS} for way, found in rates.items()}
    for way, found in zip(ways, measured, strict=True):
        _share(found, fastest[way])
    for bench, found in zip(benches, measured, strict=True):
        for row in found["plain"]:
            row["identical"] = bench.plain_ids[row["new_bytes"]] == benches[0].plain_ids[row["new_bytes"]]
    return {
        **environment(device),
        "model": model.name,
        "shape": model.model.shape.model_dump(mode="json"),
        "parameters": vars(blt_parameters(model.model.shape)),
        "random_weights": model.random,
        "precision": "bf16" if plan.bf16 else "fp32",
        "graphs": plan.graphs,
        "threshold": _threshold(model.model),
        "prompt_bytes": plan.prompt_bytes,
        "ceiling": {"bytes_per_second": fastest, "rounds": rates, "cache": cache_bytes()},
        **{name: [row for found in measured for row in found[name]] for name in measured[0]},
        "peer": peer,
    }


class _Bench:
    """One model under measurement, its weights laid out one way."""

    def __init__(self, subject: Subject, way: Weights, plan: Plan, report: Report) -> None:
        self.subject, self.way, self.plan = subject, way, plan
        self.report: Report = lambda line: report(f"{way}: {line}")
        self.model = subject.model
        self.packed = subject.packed if way == "fp16" else Packed(self.model, halves=False)
        self.plain_ids: dict[int, list[int]] = {}
        """By length."""

    def measure(self) -> dict[str, list[dict[str, Any]]]:
        """Rows by what they are of."""
        lengths = sorted(self.plan.lengths)
        middle = min(lengths, key=lambda length: abs(length - SHORT))
        plain = [self.plain(length) for length in lengths]
        batch = self.batch(middle)
        drafts = [self.drafts(middle, k, refresh) for k in self.plan.drafts for refresh in self.plan.refresh]
        one = plain[lengths.index(middle)]["bytes_per_second"]
        batch["over_one"] = batch["bytes_per_second"] / one
        for row in drafts:
            row["over_plain"] = row["bytes_per_second"] / one
        found = {"plain": plain, "growth": _growth(plain, middle), "batch": [batch], "drafts": drafts}
        for row in itertools.chain(*found.values()):
            row["weights"] = self.way
        return found

    def ceiling(self) -> dict[str, float]:
        rates = ceiling(self.model, self.packed.width)
        self.report("weights, GiB/s: " + ", ".join(f"{name} {rate / 2**30:.3g}" for name, rate in rates.items()))
        return rates

    def generate(self, settings: Settings, texts: int = 1, on_bytes: Any = None) -> Generated:
        prompts = self.subject.prompts[:texts]
        return generate(self.model, prompts, settings, packed=self.packed, on_bytes=on_bytes)

    def timed(self, settings: Settings, texts: int = 1) -> tuple[Generated, list[float], dict[str, Any]]:
        """The run of median time, when each of its bytes came (of one text), and what it took."""
        runs: list[tuple[float, Generated, list[float]]] = []
        for _ in range(self.plan.repeats if settings.length <= SHORT else 1):
            times: list[float] = []
            watch = (lambda _row, _text, to=times: to.append(time.perf_counter())) if texts == 1 else None
            done = self.generate(settings, texts, watch)
            runs.append((done.output.seconds, done, times))
        runs.sort(key=lambda run: run[0])
        _, done, times = runs[len(runs) // 2]
        refresh = settings.refresh if settings.draft else None
        return done, times, {"new_bytes": settings.length, **counters([done], self.model, refresh)}

    def plain(self, length: int) -> dict[str, Any]:
        done, times, row = self.timed(Settings(length, temperature=0, graphs=self.plan.graphs))
        self.plain_ids[length] = done.ids[0]
        steps = [b - a for a, b in itertools.pairwise(times)]
        last = steps[-STRETCH:]
        row["seconds_per_byte"] = {"mean": done.output.seconds / length, "last": median(last) if last else None}
        self.report(f"{length} bytes: {row['bytes_per_second']:.4g} bytes/s")
        return row

    def batch(self, length: int) -> dict[str, Any]:
        _, _, row = self.timed(Settings(length, temperature=0, graphs=self.plan.graphs), self.plan.batch)
        self.report(f"{self.plan.batch} texts of {length} bytes: {row['bytes_per_second']:.4g} bytes/s")
        return {"texts": self.plan.batch, **row}

    def drafts(self, length: int, k: int, refresh: Refresh) -> dict[str, Any]:
        done, _, row = self.timed(Settings(length, temperature=0, draft=k, refresh=refresh))
        (rounds,), passes = done.rounds, done.output.passes
        row |= {"draft": k, "refresh": refresh, "bytes_per_round": (length - 1) / max(1, rounds)}
        row["passes_per_round"] = {name: passes.get(name, 0) / max(1, rounds) for name in ("entropy", "latent")}
        row["identical"] = done.ids[0] == self.plain_ids[length]
        self.report(
            f"drafts of {k}, refresh {refresh}: {row['bytes_per_second']:.4g} bytes/s, "
            + ("" if row["acceptance"] is None else f"{row['acceptance']:.1%} kept")
        )
        return row

    def peer(self, plain: list[dict[str, Any]]) -> dict[str, Any] | None:
        """transformers, greedy, without cache: its bytes beside ours, its rate, and the rate of a longer text. `plain`
        are rows of every way."""
        if not self.plan.peer_bytes or self.plan.bf16:
            return None
        prompt, estimate = self.subject.prompts[0], self.plan.peer_estimate
        longest = max((*self.plan.peer_bytes, estimate or 0))
        try:
            theirs = Theirs(self.model, len(prompt) + longest + 1)
        except UserError as problem:
            return {"left_out": str(problem)}
        rows = []
        for length in sorted(self.plan.peer_bytes):
            ours = self.plain_ids.get(length) or self.generate(Settings(length, temperature=0)).ids[0]
            made, seconds = theirs.generate(prompt, length)
            wrong = [place for place, (a, b) in enumerate(zip(ours, made, strict=True)) if a != b]
            row = {"new_bytes": length, "seconds": seconds, "bytes_per_second": length / seconds, "measured": True}
            row |= {"identical": not wrong, "first_difference": wrong[0] if wrong else None}
            rows.append(_beside(row, plain))
            self.report(f"transformers, {length} bytes: {row['bytes_per_second']:.4g} bytes/s")
        if estimate is not None:
            rows += [
                _beside(self._estimated(theirs, length), plain)
                for length in sorted({estimate, *self.plan.peer_bytes})
                if length <= max(map(len, self.plain_ids.values()))
            ]
        return {"transformers": theirs.version, "notes": theirs.notes, "lengths": rows}

    def _estimated(self, theirs: Theirs, length: int) -> dict[str, Any]:
        """From calls at five lengths: each byte takes one call over all that comes before it."""
        prompt = self.subject.prompts[0]
        text = prompt + max(self.plain_ids.values(), key=len)
        points = sorted({len(prompt) + round(length * part / 4) for part in range(5)})
        seconds = theirs.seconds(text, tuple(points))
        self.report(f"transformers, {length} bytes, estimated: {length / seconds:.4g} bytes/s")
        return {"new_bytes": length, "seconds": seconds, "bytes_per_second": length / seconds, "measured": False}


def _threshold(model: BltModel) -> float | None:
    found = getattr(model.patcher, "threshold", None)
    return None if found is None else float(found)


def _share(found: dict[str, list[dict[str, Any]]], fastest: dict[str, float]) -> None:
    """Tell rows what the ceilings allow, and which share of that they reached."""
    for row in (*found["plain"], *found["batch"], *found["drafts"]):
        read = row["bytes_read"]["full"]["all"]
        row["ceiling"] = {name: rate / read for name, rate in fastest.items()}
        row["share"] = {name: row["bytes_per_second"] / most for name, most in row["ceiling"].items()}


def _growth(plain: list[dict[str, Any]], middle: int) -> list[dict[str, Any]]:
    """Time per byte of the longest text over that of the middle one: of all its bytes, and of its last ones."""
    one, last = (next(row for row in plain if row["new_bytes"] == n) for n in (middle, plain[-1]["new_bytes"]))
    if one is last:
        return []
    a, b = one["seconds_per_byte"], last["seconds_per_byte"]
    found = {"from": one["new_bytes"], "to": last["new_bytes"], "mean": b["mean"] / a["mean"]}
    return [found | {"last": b["last"] / a["last"] if a["last"] else None}]


def _beside(row: dict[str, Any], plain: list[dict[str, Any]]) -> dict[str, Any]:
    """With how many times as fast ours is, by way."""
    ours = {each["weights"]: each["bytes_per_second"] for each in plain if each["new_bytes"] == row["new_bytes"]}
    return row | {"ratio": {way: rate / row["bytes_per_second"] for way, rate in ours.items()}}
