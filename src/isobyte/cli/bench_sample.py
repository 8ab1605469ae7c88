"""`isobyte bench sample`"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from isobyte.cli.bench_record import dated, keep
from isobyte.cli.output import console, emit, tables
from isobyte.errors import UserError

if TYPE_CHECKING:
    from isobyte.evaluate.bench_methods import Plan
    from isobyte.train.runtime import Runtime


def sample(
    source: Annotated[str | None, tyro.conf.Positional] = None,
    *,
    lengths: tuple[int, ...] = (64, 256, 1024, 4096),
    batch: int = 8,
    drafts: tuple[int, ...] = (2, 4, 8, 16),
    refresh: tuple[Literal["never", "at_boundary", "always"], ...] = ("never", "at_boundary", "always"),
    prompt_bytes: int = 64,
    mean_length: float = 2.5,
    peer_bytes: tuple[int, ...] = (64, 256),
    peer_estimate: int | None = 1024,
    repeats: int = 3,
    graphs: bool | None = None,
    bf16: bool = False,
    weights: tuple[Literal["fp32", "fp16"], ...] = (),
    methods: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    texts: int = 6,
    new_bytes: int = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    data: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Generation with a Byte Latent Transformer: beside the machine's ceiling, by drafts, and beside transformers.

    Without a source a model of 66 million random weights, with a threshold for patches of the length that is asked
    for. Every text is greedy, so that all ways must give the same bytes; whether they did is in the record.

    With --methods, of a trained run: plain decoding beside BLT-S, BLT-D and BLT-DV, each under several settings. How
    good the text is (bytes of greedy decoding, bits per byte by the model's causal path, chrF against the text that it
    goes on from), what it cost, and bytes per second, one text at a time; with --out also drawn, as an SVG. A verified
    method whose greedy bytes are not plain decoding's ends the command with code 1.

    Args:
        source: a run's folder, or a recipe whose shape gets random weights
        lengths: new bytes of plain decoding
        batch: texts at once, at the length that is nearest to 256; those of drafts are as long
        drafts: bytes drafted a round
        refresh: whether drafts begin with an exact byte
        prompt_bytes: bytes before the new ones
        mean_length: bytes per patch of what is generated, where weights are random
        peer_bytes: new bytes that transformers generates; each takes a call over all before it, so 1024 take minutes
        peer_estimate: new bytes whose time in transformers is estimated from single calls of five lengths
        repeats: how often texts of up to 256 bytes, or all texts of methods, are generated; the median counts
        graphs: plain decoding by steps of fixed shapes, which CUDA records; the usual on CUDA
        bf16: weights and arithmetic in bf16, and no transformers
        weights: how weights lie in memory, under arithmetic in fp32; with fp16 the model's are rounded to such numbers
            first, so that every way has the same bytes to find. If left out: fp32, and on CPUs fp16 too
            where weights are random, or fp16 numbers already
        methods: methods to compare, as blt,blt_s,blt_d,blt_dv
        only: of methods: patterns of the settings to take, as "blt_d:*:resume" or "*k8*"
        texts: of methods: how many prompts
        new_bytes: of methods: bytes after each prompt
        temperature: of methods: 0 takes the likeliest byte
        top_p: of methods: draw from the smallest set of bytes that has this probability
        seed: of methods: chooses the prompts, and all noise
        data: a file that a run goes on from, in place of its held-out text
        device: auto, cpu, cuda, cuda:1, ...
        threads: CPU threads
        out: folder for a dated record, or a .json file for it
        json: print the record as one JSON object, last on standard output
    """
    from isobyte.cli.bench_sample_output import show
    from isobyte.evaluate import bench_methods, bench_sample
    from isobyte.train.runtime import Runtime

    runtime = Runtime(device=device, threads=threads)
    named = tuple(name for given in methods for name in given.split(",") if name)
    plan = bench_sample.Plan(
        lengths,
        batch,
        drafts,
        refresh,
        prompt_bytes,
        mean_length,
        peer_bytes,
        peer_estimate,
        repeats,
        graphs,
        bf16,
        weights,
    )
    compared = bench_methods.Plan(
        named, only, texts, prompt_bytes, new_bytes, repeats, temperature, top_p, seed
    )  # fmt: skip
    if named:
        usual = bench_sample.Plan(prompt_bytes=prompt_bytes, repeats=repeats)
        _untouched(plan, usual, "is not for methods")
        return _methods(source, compared, runtime, data, out, json)
    _untouched(compared, bench_methods.Plan(prompt_bytes=prompt_bytes, repeats=repeats), "is for --methods")
    record = dated("sample", bench_sample.bench_sample(source, plan, runtime, data=data, report=console.print))
    show(record, tables(json))
    keep(record, "sample", out)
    emit(record, as_json=json)
    return 0


def _methods(
    source: str | None, plan: "Plan", runtime: "Runtime", data: Path | None, out: Path | None, json: bool
) -> int:
    from isobyte.cli.bench_methods_chart import methods_figure
    from isobyte.cli.bench_methods_output import show
    from isobyte.evaluate.bench_methods import bench_methods
    from isobyte.files import write_atomic
    from isobyte.study.report.matplotlib_chart import draw_svg

    record = dated("sample", bench_methods(source, plan, runtime, data=data, report=console.print))
    show(record, tables(json))
    path = keep(record, "methods", out)
    if path is not None:
        picture = path.with_suffix(".svg")
        write_atomic(picture, draw_svg(methods_figure(record)))
        console.print(f"picture: {picture}")
    for name in record["broken"]:
        console.print(f"isobyte: {name}: not the bytes of plain decoding, though they were verified")
    emit(record, as_json=json)
    return 1 if record["broken"] else 0


def _untouched(plan: object, usual: object, why: str) -> None:
    """Raises UserError for an option of the other half of this command."""
    for name, value in vars(plan).items():
        if value != getattr(usual, name):
            raise UserError(why, where=f"--{name.replace('_', '-')}", how="leave it out")
