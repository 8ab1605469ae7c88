"""`isobyte sample` of runs of backbone blt."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from isobyte.cli import sample_output as output
from isobyte.cli.output import console, emit
from isobyte.decode.blt_methods import METHODS, Asked
from isobyte.errors import UserError

if TYPE_CHECKING:
    from isobyte.backbone.half import Weights
    from isobyte.decode import blt_settings, methods

LEFT_TO_RIGHT = "left-to-right"
"""What flat runs call it: no method of its own here."""


def generate(
    run: Path,
    prompt: bytes,
    length: int | None,
    count: int,
    asked: Asked,
    common: "blt_settings.Settings",
    *,
    weights: "Weights",
    trace: Path | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> int:
    """Texts on standard output as they come, or a record; `common` is what every method has."""
    from isobyte.decode.blt_trace import BlockTrace
    from isobyte.decode.blt_trace_page import write_page
    from isobyte.evaluate.generate import first_story, generate_run

    live = output.Live(prompt) if count == 1 and trace is None and not as_json and sys.stdout.isatty() else None
    on_bytes = None if live is None else lambda _row, text: live.write(text)
    watch = None if trace is None else BlockTrace()
    done = generate_run(
        run, prompt, length=length, count=count, asked=asked, settings=common, weights=weights, device=device,
        threads=threads, on_bytes=on_bytes, watch=watch,
    )  # fmt: skip
    if live is not None:
        live.close()
    if trace is not None and watch is not None:
        text = done.texts()[0].decode(errors="replace")
        write_page(first_story(done, watch), trace, output.generated_facts(run, done), text)
        console.print(f"wrote {trace}")
    output.show_generated(done, as_json, streamed=live is not None)
    emit(output.generated_record(run, done), as_json=as_json)
    return 0


def refuse_flat(settings: "methods.Settings", template: str | None) -> None:
    """Raises UserError, by name, for what only flat runs have."""
    if settings.block is not None:
        raise UserError("blocks are as large as in training", where="--block", how="leave it out")
    usual = type(settings)()
    shared = ("method", "seed", "temperature", "top_p", "gamma")
    given = {name: value for name, value in vars(settings).items() if name not in shared}
    for name, value in (given | {"template": template}).items():
        if value != getattr(usual, name, None):
            raise UserError(
                "is not for runs of backbone blt",
                where="--" + name.replace("_", "-"),
                how=f"they go from left to right, by --method {', '.join(METHODS)}",
            )


def refuse_blt(method: str | None, **given: object) -> None:
    """Raises UserError, by name, for what only runs of backbone blt have."""
    if method in METHODS:
        raise UserError(f"{method!r} is for runs of backbone blt", where="--method", how="leave it out")
    for name, value in given.items():
        if value is not None:
            raise UserError("is for runs of backbone blt", where=f"--{name}", how="leave it out")
