"""What `isobyte sample` shows: text on a terminal, a record for programs, facts for a trace."""

import base64
import codecs
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isobyte.cli.output import console

if TYPE_CHECKING:
    from torch import Tensor

    from isobyte.decode.methods import Settings
    from isobyte.evaluate.loaded import LoadedRun
    from isobyte.evaluate.sample import Sampled

CONTROL = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
"""Characters that would steer a terminal rather than show on it."""


def printable(text: bytes) -> str:
    """As text for a terminal; bytes that are none become U+FFFD."""
    return text.decode(errors="replace").translate(CONTROL)


class Stream:
    """Prints what is revealed from left to right, whole characters at a time."""

    def __init__(self, loaded: "LoadedRun", given_T: "Tensor") -> None:
        self.representation = loaded.representation
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._print(self.representation.decode(given_T[given_T < loaded.model.vocab].numpy()))

    def reveal(self, step: int, rows: "Tensor", places: "Tensor", symbols: "Tensor", sure: "Tensor") -> None:
        del step, rows, places, sure
        self._print(self.representation.decode(symbols.cpu().numpy()))

    def hide(self, step: int, hidden_WT: "Tensor") -> None:
        """Nothing is hidden again from left to right."""

    def _print(self, text: bytes) -> None:
        print(self.decoder.decode(text).translate(CONTROL), end="", flush=True)


def show(done: "Sampled", as_json: bool, *, streamed: bool) -> None:
    """The texts on standard output, and how they came about on standard error."""
    if streamed:
        print()
    elif not as_json:
        for number, text in enumerate(done.texts()):
            if len(done.x_WT) > 1:
                print(f"--- {number + 1}")
            print(printable(text))
    each = "window" if len(done.x_WT) == 1 else "windows"
    console.print(
        f"{len(done.x_WT):,} {each} of {done.x_WT.shape[1]} symbols by {done.method}, "
        f"NFE {done.nfe_W.double().mean():.4g} a window, {done.seconds:.3g} s"
    )


def record(run: Path, done: "Sampled", settings: "Settings") -> dict[str, Any]:
    samples = [
        {
            "text": text.decode(errors="replace"),
            "base64": base64.b64encode(text).decode(),
            "bytes": len(text),
            "symbols": done.x_WT.shape[1],
            "nfe": int(nfe),
        }
        for text, nfe in zip(done.texts(), done.nfe_W, strict=True)
    ]
    return {
        "run": str(run),
        "objective": done.run.config.objective.kind,
        "method": done.method,
        **settings.used(done.method, done.run.config.objective),
        "nfe": float(done.nfe_W.double().mean()),
        "seconds": done.seconds,
        "samples": samples,
    }


def facts(run: Path, done: "Sampled", settings: "Settings", steps: int) -> dict[str, str]:
    used = settings.used(done.method, done.run.config.objective)
    return {
        "run": run.resolve().name,
        "objective": done.run.config.objective.kind,
        "method": done.method,
        "NFE": str(int(done.nfe_W[0])),
        "steps that changed": str(steps),
        "symbols": str(done.x_WT.shape[1]),
        **{name.replace("_", " "): f"{value}" for name, value in used.items()},
    }
