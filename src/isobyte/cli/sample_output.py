"""What `isobyte sample` shows: text on a terminal, a record for programs, facts for a trace."""

import base64
import codecs
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from isobyte.cli.output import console
from isobyte.decode.blt_methods import method_of, used

if TYPE_CHECKING:
    from torch import Tensor

    from isobyte.backbone.blt.model import BltModel
    from isobyte.decode.methods import Settings
    from isobyte.evaluate.generate import Texts
    from isobyte.evaluate.loaded import LoadedRun
    from isobyte.evaluate.sample import Sampled

CONTROL = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
"""Characters that would steer a terminal rather than show on it."""


def printable(text: bytes) -> str:
    """As text for a terminal; bytes that are none become U+FFFD."""
    return text.decode(errors="replace").translate(CONTROL)


class Live:
    """Prints bytes as they come, whole characters at a time."""

    def __init__(self, prompt: bytes = b"") -> None:
        """`prompt` is printed with what comes first: until then there may be news of other kinds."""
        self.decoder, self.waiting = codecs.getincrementaldecoder("utf-8")("replace"), prompt

    def write(self, text: bytes, *, last: bool = False) -> None:
        text, self.waiting = self.waiting + text, b""
        print(self.decoder.decode(text, last).translate(CONTROL), end="", flush=True)

    def close(self) -> None:
        """What is left is part of a character."""
        self.write(b"", last=True)


class Stream(Live):
    """Prints what is revealed from left to right."""

    def __init__(self, loaded: "LoadedRun", given_T: "Tensor") -> None:
        super().__init__()
        self.representation = loaded.representation
        self.digits: list[int] = []
        """Those of a byte that is not whole yet."""
        self.write(self.representation.decode(given_T[given_T < loaded.model.vocab].numpy()))

    def reveal(self, step: int, rows: "Tensor", places: "Tensor", symbols: "Tensor", sure: "Tensor") -> None:
        del step, rows, places, sure
        self.digits += symbols.tolist()
        if len(self.digits) % self.representation.digits_per_byte == 0:
            self.write(self.representation.decode(self.digits))
            self.digits.clear()

    def hide(self, step: int, hidden_WT: "Tensor") -> None:
        """Nothing is hidden again from left to right."""


def show(done: "Sampled", as_json: bool, *, streamed: bool) -> None:
    """The texts on standard output, and how they came about on standard error."""
    _print_texts(done.texts(), as_json, streamed=streamed)
    each = "window" if len(done.x_WT) == 1 else "windows"
    shortest, longest = min(done.symbols()), max(done.symbols())
    symbols = f"{longest}" if shortest == longest else f"{shortest} to {longest}"
    console.print(
        f"{len(done.x_WT):,} {each} of {symbols} symbols by {done.method}, "
        f"NFE {done.nfe_W.double().mean():.4g} a window, {done.seconds:.3g} s"
    )


def _print_texts(texts: list[bytes], as_json: bool, *, streamed: bool) -> None:
    if streamed:
        print()
    elif not as_json:
        for number, text in enumerate(texts):
            if len(texts) > 1:
                print(f"--- {number + 1}")
            print(printable(text))


def record(run: Path, done: "Sampled", settings: "Settings") -> dict[str, Any]:
    samples = [
        _sample(text) | {"symbols": symbols, "nfe": int(nfe)}
        for text, symbols, nfe in zip(done.texts(), done.symbols(), done.nfe_W, strict=True)
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


def show_generated(done: "Texts", as_json: bool, *, streamed: bool) -> None:
    """As `show`, with the share of drafts that was kept and the bytes per patch."""
    texts = done.texts()
    _print_texts(texts, as_json, streamed=streamed)
    found = _counters(done)
    lengths, seconds = found["bytes_per_patch"], found["seconds"]
    patches = ", ".join(f"{each:.3g} on the {name}" for name, each in lengths.items() if each is not None)
    nfe = ", ".join(f"{name} {passes:,}" for name, passes in found["nfe"]["output"].items() if name != "patches")
    said = [
        f"{found['bytes']:,} bytes by {method_of(done.settings)} in {seconds['output']:.3g} s, "
        f"{found['bytes_per_second']:,.4g} a second",
        f"bytes per patch: {patches}" if patches else "",
        f"NFE: {nfe}",
    ]
    if "fills" in found:
        said.append(f"blocks filled in {found['fills']:,} steps, {found['rounds']:,} rounds")
    if found.get("acceptance") is not None:
        said.append(
            f"{found['acceptance']:.1%} of {found['drafted']:,} drafted bytes kept in {found['rounds']:,} rounds"
        )
    window = done.run.config.train.window
    if max(map(len, texts)) > window:
        said.append(f"beyond the {window:,} bytes of the windows it was trained on")
    console.print("; ".join(filter(None, said)), soft_wrap=True)


def generated_record(run: Path, done: "Texts") -> dict[str, Any]:
    settings = done.settings
    rows = [row for part in done.parts for row in zip(part.ids, part.ended, strict=True)]
    return {
        "run": str(run),
        "objective": done.run.config.objective.kind,
        "backbone": done.run.config.backbone.kind,
        "method": method_of(settings),
        "seed": settings.seed,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        **used(settings),
        "stop": [text.decode(errors="replace") for text in settings.stop],
        **_counters(done),
        "samples": [
            _sample(text) | {"generated": len(ids), "ended": ended}
            for text, (ids, ended) in zip(done.texts(), rows, strict=True)
        ],
    }


def _counters(done: "Texts") -> dict[str, Any]:
    from isobyte.evaluate.generate import counters

    model = cast("BltModel", done.run.model)
    drafts = method_of(done.settings) in ("blt_s", "blt_dv")
    return counters(done.parts, model, done.settings.refresh if drafts else None)


def _sample(text: bytes) -> dict[str, Any]:
    return {
        "text": text.decode(errors="replace"), "base64": base64.b64encode(text).decode(), "bytes": len(text),
    }  # fmt: skip


def generated_facts(run: Path, done: "Texts") -> dict[str, str]:
    """Of the first text's batch."""
    part, settings = done.parts[0], done.settings
    seconds, lengths = part.output.seconds, (part.prompt.bytes_per_patch, part.output.bytes_per_patch)
    nfe = part.output.passes
    found = {
        "run": run.resolve().name,
        "method": method_of(settings),
        "bytes": f"{len(part.ids[0])}",
        "temperature": f"{settings.temperature:g}",
        "top p": f"{settings.top_p:g}",
        "seed": f"{settings.seed}",
        **{name: f"{value}" for name, value in used(settings).items()},
        "rounds": f"{part.rounds[0]}" if part.rounds[0] else "",
        "steps that filled": f"{part.fills}" if part.fills else "",
        "drafts kept": f"{part.accepted[0]} of {part.drafted[0]}" if part.drafted[0] else "",
        **{f"NFE {name}": f"{nfe.get(name, 0)}" for name in ("entropy", "encoder", "latent", "decoder")},
        "bytes per patch": "" if lengths[1] is None else f"{lengths[1]:.3g}",
        "bytes a second": f"{part.bytes / seconds:,.4g}",
    }
    return {name: value for name, value in found.items() if value}


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
