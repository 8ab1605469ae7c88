"""`isobyte sample`"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from isobyte.cli import sample_output as output
from isobyte.cli.output import console, emit
from isobyte.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from isobyte.decode import blt_settings
    from isobyte.decode.methods import Settings
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
    refresh: Literal["never", "at_boundary", "always"] | None = None,
    stop: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    patches: int | None = None,
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
            remdm-cap, remdm-rescale, remdm-conf, remdm-loop, published; a run says which of them it can
        seed: seed of all noise
        temperature: 0 takes the likeliest symbol
        top_p: draw from the smallest set of symbols that has this probability
        steps: steps of ancestral, ReMDM and published sampling (64)
        grid: the times of the steps: linear (the usual) or cosine
        per_step: symbols revealed at once by left-to-right, confidence, margin and entropy (1)
        block: finish this many symbols before the next are begun
        gamma: nats that entropy-bounded may lose a step (0.1)
        threshold: probability from which threshold reveals a symbol (0.9)
        factor: how bold factor is (1)
        eta: how much ReMDM hides again (0.02)
        by_digit: for runs on digits: reveal them one by one
        draft: backbone blt: bytes that are drafted cheaply and judged by one exact pass (BLT-S); the text stays the
            same at temperature 0, its law at any
        refresh: backbone blt: whether drafts begin with an exact byte: never (the usual), at_boundary or always
        stop: backbone blt: a text that ends a sample, and is left out of it; may be given several times
        patches: backbone blt: the most patches that a text may have, for a latent transformer that was trained on no
            more; as many as come if left out
        trace: write an HTML page that shows step by step how the first sample came about
        device: auto, cpu, cuda, ...
        threads: CPU threads
        json: one JSON object, last on standard output
    """
    from isobyte.decode import blt_settings
    from isobyte.decode.methods import Settings
    from isobyte.decode.trace import Trace, render
    from isobyte.evaluate.sample import Ask, sample_run

    settings = Settings(
        method, seed, temperature, top_p, steps, grid, per_step, block, gamma, threshold, factor, eta, by_digit
    )
    if _patched(run):
        _refuse(settings, template=template, trace=trace)
        how = blt_settings.Settings(
            1,
            seed,
            temperature,
            top_p,
            draft,
            refresh or "never",
            stop=tuple(os.fsencode(text) for text in stop),
            patches=patches,
        )
        if refresh is not None and draft is None:
            raise UserError("nothing is drafted", where="--refresh", how="say how many bytes with --draft")
        return _generate(run, os.fsencode(prompt), length, count, how, device=device, threads=threads, as_json=json)
    for name, given in (("draft", draft), ("refresh", refresh), ("stop", stop or None), ("patches", patches)):
        if given is not None:
            raise UserError("is for runs of backbone blt", where=f"--{name}", how="leave it out")
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


def _patched(run: Path) -> bool:
    from isobyte.train.folder import RunFolder

    return RunFolder(run).config().backbone.kind == "blt"


def _refuse(settings: "Settings", **beside: object) -> None:
    """Raises UserError, by name, for what generation with backbone blt does not have."""
    usual = type(settings)()
    given = {name: value for name, value in vars(settings).items() if value != getattr(usual, name)} | beside
    if given.get("method") == "left-to-right":
        del given["method"]
    for name, value in given.items():
        if value is not None and name not in ("seed", "temperature", "top_p"):
            raise UserError(
                "is not for runs of backbone blt",
                where="--" + name.replace("_", "-"),
                how="they go from left to right, and take prompt, length, count, seed, temperature, top-p, draft, "
                "refresh and stop",
            )


def _generate(
    run: Path,
    prompt: bytes,
    length: int | None,
    count: int,
    how: "blt_settings.Settings",
    *,
    device: str,
    threads: int | None,
    as_json: bool,
) -> int:
    """Texts of a run of backbone blt."""
    from isobyte.evaluate.generate import generate_run

    live = output.Live() if count == 1 and not as_json and sys.stdout.isatty() else None
    if live is not None:
        live.write(prompt)
    on_bytes = None if live is None else lambda _row, text: live.write(text)
    done = generate_run(
        run, prompt, length=length, count=count, settings=how, device=device, threads=threads, on_bytes=on_bytes
    )
    if live is not None:
        live.close()
    output.show_generated(done, as_json, streamed=live is not None)
    emit(output.generated_record(run, done), as_json=as_json)
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
