"""`isobyte sample`"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

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
    trace: Path | None = None,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Text from a trained run: after a prompt, in the gaps of a template, or from nothing.

    What a window comes out as depends on the seed and its number alone, not on how many are asked for.

    Args:
        run: a run's folder
        prompt: what every sample starts with
        template: a text, or a file of it, in which {{12}} stands for 12 symbols to be filled in
        length: symbols in all; the run's window if left out
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
        trace: write an HTML page that shows step by step how the first sample came about
        device: auto, cpu, cuda, ...
        json: one JSON object, last on standard output
    """
    from isobyte.decode.methods import Settings
    from isobyte.decode.trace import Trace, render
    from isobyte.evaluate.sample import Ask, sample_run

    settings = Settings(
        method, seed, temperature, top_p, steps, grid, per_step, block, gamma, threshold, factor, eta, by_digit
    )
    ask = Ask(os.fsencode(prompt), None if template is None else _template(template), length, count)
    stream = count == 1 and trace is None and not json and sys.stdout.isatty()
    watchers: list[Any] = []

    def watch(loaded: "LoadedRun", given_T: "Tensor") -> Any:
        if trace is not None:
            watchers.append(Trace(given_T, loaded.representation, loaded.model.vocab))
        elif loaded.config.objective.kind == "ar":
            watchers.append(output.Stream(loaded, given_T))
        return watchers[0] if watchers else None

    done = sample_run(run, ask, settings, device=device, watch=watch if trace is not None or stream else None)
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
