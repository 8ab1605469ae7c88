"""Methods of generation on one trained Byte Latent Transformer, each under several settings: how good the text is, what
it cost, and how fast it came.

Texts come one at a time. Every setting is timed once in each of several rounds; ratios are of one round, whose median
is told.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.byte_ids import BOS, OFFSET
from isobyte.config.objective import BltDiffusionConfig
from isobyte.cost.bandwidth import published_parameters, weights
from isobyte.cost.blt import blt_parameters
from isobyte.data.stream import Stream
from isobyte.decode.blt import Generated, generate
from isobyte.errors import UserError
from isobyte.evaluate.bench_ways import Way, choose
from isobyte.evaluate.bpb import held_out_text
from isobyte.evaluate.generate import counters
from isobyte.evaluate.loaded import check_writes_text, load_run
from isobyte.evaluate.quality import Quality
from isobyte.random import generator
from isobyte.train.runtime import Runtime, environment

Report = Callable[[str], None]
WARM = 16
"""Bytes that each way generates before any is timed."""


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    methods: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    """Patterns of names of settings; all if there are none."""
    texts: int = 6
    prompt_bytes: int = 64
    new_bytes: int = 128
    repeats: int = 3
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def check(self) -> None:
        """Raises UserError for what cannot be."""
        for name in ("texts", "prompt_bytes", "new_bytes", "repeats"):
            if getattr(self, name) < 1:
                where = f"--{name.replace('_', '-')}"
                raise UserError(f"{getattr(self, name)} is out of range", where=where, how="take 1 or more")


def bench_methods(
    source: str | None,
    plan: Plan,
    runtime: Runtime,
    *,
    data: Path | None = None,
    report: Report = lambda _line: None,
) -> dict[str, Any]:
    """A JSON-ready record with a row for each setting. Prompts and their references are cut from `data`, else from the
    run's held-out text. Raises UserError for what is no run of backbone blt, and for methods that it cannot."""
    plan.check()
    if source is None or not Path(source).is_dir():
        raise UserError("methods are compared on a trained model", where="source", how="name the folder of a run")
    device = runtime.apply()
    run = load_run(Path(source), str(device))
    if not isinstance(run.model, BltModel):
        raise UserError("its backbone is flat", where=source, how="name a run of backbone blt")
    check_writes_text(run.config, Path(source))
    objective, shape = run.config.objective, run.model.shape
    block = objective.block if isinstance(objective, BltDiffusionConfig) else None
    chosen = choose(plan.methods, plan.only, block)
    pairs = passages(held_out_text(Path(source), run, data), plan.texts, plan.prompt_bytes, plan.new_bytes, plan.seed)
    bench = _Bench(run.model, plan, pairs, report)
    rows = bench.rows(chosen)
    parameters = blt_parameters(shape)
    return {
        **environment(device),
        "model": source,
        "objective": objective.kind,
        "block": block,
        "window": run.config.train.window,
        "shape": shape.model_dump(mode="json"),
        "parameters": vars(parameters),
        "read": {"weights": vars(weights(shape)), "published": published_parameters(shape)},
        "plan": vars(plan),
        "reference": bench.quality.reference(),
        "chrf": bench.quality.signature,
        "processor_share": bench.shares,
        "rows": rows,
        "broken": [row["name"] for row in rows if row["verified"] and row["quality"]["identical"] is False],
    }


def passages(text: Stream, count: int, prompt: int, new: int, seed: int) -> list[tuple[bytes, bytes]]:
    """Prompts and what comes after them there, from different places. Raises UserError for a text that is too short."""
    size = prompt + new
    if len(text) < count * size:
        raise UserError(f"{len(text):,} bytes", where="--data", how=f"give at least {count * size:,}, or ask for less")
    places = generator(seed, "bench methods").choice(len(text) // size, count, replace=False)
    found = [bytes(text.read(size * int(at), size * int(at) + size)) for at in sorted(places)]
    return [(each[:prompt], each[prompt:]) for each in found]


class _Bench:
    """One model under measurement."""

    def __init__(self, model: BltModel, plan: Plan, pairs: list[tuple[bytes, bytes]], report: Report) -> None:
        self.model, self.plan, self.report, self.packed = model, plan, report, Packed(model)
        self.prompts = [[BOS, *(each + OFFSET for each in prompt)] for prompt, _ in pairs]
        self.quality = Quality(model, self.prompts, [reference for _, reference in pairs])
        self.shares: list[float] = []
        """Processor time over time, by round: below 1 another program had the processor, if none waited for a GPU."""
        self.plain: list[bytes] | None = None
        """What plain decoding takes for the likeliest; None where it draws."""

    def rows(self, chosen: list[Way]) -> list[dict[str, Any]]:
        for way in chosen:
            self.generate(way, 0, min(WARM, self.plan.new_bytes))
        rates: list[list[float]] = [[] for _ in chosen]
        rows: list[dict[str, Any]] = []
        for nth in range(self.plan.repeats):
            parts = self.round(chosen, f"round {nth + 1} of {self.plan.repeats}")
            for found, own in zip(rates, parts, strict=True):
                found.append(sum(part.bytes for part in own) / sum(part.output.seconds for part in own))
            if nth == 0:
                rows = [self.row(way, own) for way, own in zip(chosen, parts, strict=True)]
        for row, found in zip(rows, rates, strict=True):
            ratios = [rate / plain for rate, plain in zip(found, rates[0], strict=True)]
            row |= {"bytes_per_second": median(found), "rates": found, "over_plain": median(ratios), "ratios": ratios}
        return rows

    def round(self, chosen: list[Way], name: str) -> list[list[Generated]]:
        """Every text in every way, and way after way for each text: what else the machine does meets all alike."""
        parts: list[list[Generated]] = [[] for _ in chosen]
        begun, processor = time.perf_counter(), time.process_time()
        for number in range(self.plan.texts):
            for way, own in zip(chosen, parts, strict=True):
                own.append(self.generate(way, number, self.plan.new_bytes))
            spent = time.perf_counter() - begun
            self.report(f"{name}: text {number + 1} of {self.plan.texts}, {spent:.0f} s")
        self.shares.append((time.process_time() - processor) / (time.perf_counter() - begun))
        return parts

    def generate(self, way: Way, number: int, length: int) -> Generated:
        plan = self.plan
        how = replace(
            way.settings, length=length, temperature=plan.temperature, top_p=plan.top_p, seed=plan.seed, first=number
        )
        return generate(self.model, [self.prompts[number]], how, packed=self.packed)

    def row(self, way: Way, parts: list[Generated]) -> dict[str, Any]:
        texts = [part.texts[0] for part in parts]
        if self.plain is None and self.plan.temperature == 0:
            self.plain = texts
        told = counters(parts, self.model, way.settings.refresh if way.verified else None)
        del told["seconds"]
        told["nfe_per_byte"] = {name: count / told["bytes"] for name, count in told["nfe"]["output"].items()}
        return {**way.told(), "quality": self.quality.of(texts, self.plain), **told}
