"""`isobyte sample`"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from isobyte.cli import sample_blt
from isobyte.cli import sample_output as output
from isobyte.cli.output import console, emit
from isobyte.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from isobyte.evaluate.loaded import LoadedRun


def sample(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    prompt: str = "",
    template: str | None = None,
    length: int | None = None,
    count: int = 1,
    method: str | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    steps: int | None = None,
    grid: str | None = None,
    per_step: int | None = None,
    block: int | None = None,
    gamma: float | None = None,
    threshold: float | None = None,
    factor: float | None = None,
    eta: float | None = None,
    by_digit: bool = False,
    draft: int | None = None,
    fill: Literal["confidence", "entropy", "entropy-max", "one-step"] | None = None,
    alpha: float | None = None,
    align: Literal["none", "cut", "resume"] | None = None,
    refresh: Literal["never", "at_boundary", "always"] | None = None,
    stop: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    patches: int | None = None,
    weights: Literal["fp32", "fp16"] = "fp32",
    trace: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    json: bool = False,
) -> int:
    """Text from a trained run: after a prompt, in the gaps of a template, or from nothing.

    What a window comes out as depends on the seed and its number alone, not on how many are asked for. Runs of
    backbone blt go on beyond their window: what is near is remembered to the last bytes, what is far by its patches.

    Args:
        run: a run's folder
        prompt: what every sample starts with
        template: a text, or a file of it, in which {{12}} stands for 12 symbols to be filled in
        length: symbols in all; the run's window if left out, and at most, but for runs of backbone blt
        count: how many samples
        method: how symbols are revealed; the objective's own law if left out. ancestral, cached-ancestral,
            first-hitting, left-to-right, confidence, margin, entropy, entropy-bounded, threshold, factor,
            remdm-cap, remdm-rescale, remdm-conf, remdm-loop, published; a run says which of them it can.
            Backbone blt: blt (byte by byte), blt_s (bytes are drafted cheaply and judged by one exact pass), and after
            training with blocks blt_d (a block is filled at once) and blt_dv (and judged). Judged text is that of blt
            at temperature 0, and has its law at any
        seed: seed of all noise
        temperature: 0 takes the likeliest symbol
        top_p: draw from the smallest set of symbols that has this probability
        steps: steps of ancestral, ReMDM and published sampling (64)
        grid: the times of the steps: linear (the usual) or cosine
        per_step: symbols revealed at once by left-to-right, confidence, margin and entropy (1)
        block: finish this many symbols before the next are begun
        gamma: nats that entropy-bounded may lose a step (0.1), or that the cells filled at once may have by entropy and
            entropy-max (blt_d 1, blt_dv 1.5)
        threshold: probability from which threshold reveals a symbol (0.9)
        factor: how bold factor is (1)
        eta: how much ReMDM hides again (0.02)
        by_digit: for runs on digits: reveal them one by one
        draft: backbone blt: bytes that blt_s drafts a round (4); alone it asks for blt_s
        fill: backbone blt: which cells of a block are filled at once: those of confidence alpha (blt_d), by entropy
            while the sum is gamma at most, or the sum less its largest (entropy-max), or all (one-step; blt_dv)
        alpha: backbone blt: probability from which confidence fills a cell (blt_d 0.7, blt_dv 0.3)
        align: backbone blt: where blocks begin: none (with the next byte), resume (where the open patch does), cut
            (blt_d: with a patch; what was filled beyond is thrown away)
        refresh: backbone blt: whether drafts begin with an exact byte: never (the usual), at_boundary or always
        stop: backbone blt: a text that ends a sample, and is left out of it; may be given several times
        patches: backbone blt: the most patches that a text may have, for a latent transformer that was trained on no
            more; as many as come if left out
        weights: backbone blt, on a CPU: fp16 rounds them to 16 bits, which are read in about half the time; arithmetic
            stays fp32. Weights that are such numbers already, as in imported checkpoints, are kept so without asking
        trace: write an HTML page that shows step by step how the first sample came about
        device: auto, cpu, cuda, ...
        threads: CPU threads
        json: one JSON object, last on standard output
    """
    from isobyte.config.objective import PatchwiseConfig
    from isobyte.decode import blt_settings
    from isobyte.decode.blt_methods import Asked
    from isobyte.decode.methods import Settings
    from isobyte.decode.trace import Trace, render
    from isobyte.evaluate.sample import Ask, sample_run
    from isobyte.train.folder import RunFolder

    settings = Settings(
        method, seed, temperature, top_p, steps, grid, per_step, block, gamma, threshold, factor, eta, by_digit
    )
    config = RunFolder(run).config()
    if config.backbone.kind == "blt" and not isinstance(config.objective, PatchwiseConfig):
        sample_blt.refuse_flat(settings, template)
        method = None if method == sample_blt.LEFT_TO_RIGHT else method
        asked = Asked(method, draft, refresh, fill, alpha, gamma, align)
        ends = tuple(os.fsencode(text) for text in stop)
        common = blt_settings.Settings(1, seed, temperature, top_p, stop=ends, patches=patches)
        return sample_blt.generate(
            run, os.fsencode(prompt), length, count, asked, common, weights=weights, trace=trace, device=device,
            threads=threads, as_json=json,
        )  # fmt: skip
    sample_blt.refuse_blt(
        method, draft=draft, fill=fill, alpha=alpha, align=align, refresh=refresh, stop=stop or None, patches=patches,
        weights=None if weights == "fp32" else weights,
    )  # fmt: skip
    ask = Ask(os.fsencode(prompt), None if template is None else _template(template), length, count)
    stream = count == 1 and trace is None and not json and sys.stdout.isatty()
    watchers: list[Any] = []

    def watch(loaded: "LoadedRun", given_T: "Tensor") -> Any:
        if trace is not None:
            watchers.append(Trace(given_T, loaded.representation, loaded.model.vocab))
        elif loaded.config.objective.kind == "ar":
            watchers.append(output.Stream(loaded, given_T))
        return watchers[0] if watchers else None

    done = sample_run(
        run, ask, settings, device=device, threads=threads, watch=watch if trace is not None or stream else None
    )
    if trace is not None:
        facts = output.facts(run, done, settings, steps=len(watchers[0].steps))
        render(watchers[0], trace, facts, done.texts()[0].decode(errors="replace"))
        console.print(f"wrote {trace}")
    output.show(done, json, streamed=stream and bool(watchers))
    emit(output.record(run, done, settings), as_json=json)
    return 0


def _template(given: str) -> bytes:
    if "{{" in given:
        return os.fsencode(given)
    path = Path(given)
    if not path.is_file():
        raise UserError(
            f"{given[:80]!r} is neither a file nor a text with a gap",
            where="--template",
            how="write {{12}} where 12 symbols are to be filled in",
        )
    return path.read_bytes()
