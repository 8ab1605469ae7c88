"""`isobyte data patches`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from isobyte.cli.output import console, emit
from isobyte.errors import UserError

if TYPE_CHECKING:
    from isobyte.backbone.patching.patcher import Patcher
    from isobyte.data.prepared import Prepared
    from isobyte.evaluate.patches import Patched

_COLOURS = ("white on rgb(32,78,120)", "white on rgb(120,66,28)")


def patches(
    rule_or_run: Annotated[str, tyro.conf.Positional],
    file: Annotated[Path | None, tyro.conf.Positional] = None,
    *,
    rule: Literal["global", "monotonic", "both"] | None = None,
    threshold: float | None = None,
    rise: float | None = None,
    mean_length: float | None = None,
    max_length: int | None = None,
    data: Path | None = None,
    html: Path | None = None,
    limit: int = 1 << 16,
    store: Path | None = None,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Show how a rule, or a run's own patcher, groups a text into patches.

    Args:
        rule_or_run: space, static:4, byte, ngram:2, bpe:TOKENIZER.json, or the folder of a run: a flat autoregressive
            run on bytes says how unsure it is of each byte, a Byte Latent Transformer shows its own patches
        file: the text, any bytes; may be left out with --store
        rule: where a patch opens by entropy: global (the usual) asks for more than --threshold nats, monotonic for a
            rise by more than --rise nats, both for the two
        threshold: nats
        rise: nats
        mean_length: bytes per patch, for which the threshold is set (4, where no threshold is given)
        max_length: no patch has more bytes than this
        data: a folder made by `data prepare`, on whose training split n-grams are counted and thresholds are set;
            the file itself if left out
        html: write a page that shows the patches
        limit: show this many bytes of the file
        store: write for every byte of this folder, made by `data prepare`, whether it opens a patch
        device: auto, cpu, cuda, ...
        json: one JSON object, last on standard output
    """
    if limit < 1:
        raise UserError(f"{limit} bytes", where="--limit", how="take at least 1")
    if file is None and (store is None or html is not None):
        raise UserError("no text to show", where="FILE", how="name a file")
    if store is not None and rule_or_run.startswith("bpe:"):
        raise UserError(
            "tokens are no patches to train or generate with: where one ends depends on bytes that come after it",
            where="--store",
            how="take a rule that looks back alone: space, static:4, byte, ngram:2 or a run",
        )
    text = None if file is None else _read(file, limit)
    from isobyte.evaluate.patches import Told, named, patch_text, thresholds
    from isobyte.train.runtime import Runtime

    folder = data or store
    learn_from = None if folder is None else _open(folder)
    told = Told(rule, threshold, rise, mean_length, max_length)
    by = named(rule_or_run, told, text, learn_from, Runtime(device=device).apply())
    record: dict[str, Any] = {"rule": rule_or_run, "predictive": not rule_or_run.startswith("bpe:"), **thresholds(by)}
    if text is not None:
        assert file is not None
        patched = patch_text(by, text)
        record |= _numbers(patched) | {"file": str(file)}
        _show(patched, record, as_json=json)
        if html is not None:
            from isobyte.evaluate.patch_page import write_page

            write_page(patched, html, _facts(record), record["warning"])
            console.print(f"wrote {html}", soft_wrap=True)
    if store is not None:
        from isobyte.backbone.patching.patcher import Patcher

        assert isinstance(by, Patcher)
        assert learn_from is not None
        record["stored"] = _store(by, learn_from if data is None else _open(store))
    emit(record, as_json=json)
    return 0


def _open(folder: Path) -> "Prepared":
    from isobyte.backbone.patching.corpus import check_bytes
    from isobyte.data.prepared import Prepared

    prepared = Prepared.open(folder)
    check_bytes(prepared)
    return prepared


def _read(file: Path, limit: int) -> bytes:
    if not file.is_file():
        raise UserError("no such file", where=str(file), how="name a file of text, or of any bytes")
    with file.open("rb") as opened:
        text = opened.read(limit)
    if not text:
        raise UserError("it is empty", where=str(file), how="give a text")
    if (size := file.stat().st_size) > limit:
        console.print(f"the first {limit:,} of {size:,} bytes; --limit takes more", soft_wrap=True)
    return text


def _numbers(patched: "Patched") -> dict[str, Any]:
    from isobyte.backbone.patching.calibrate import warning

    found = patched.statistics
    return {
        "bytes": found.bytes,
        "patches": found.patches,
        "mean_length": found.mean_length,
        "closed_by_max_length": found.closed_by_cap,
        "histogram": {str(length): count for length, count in found.histogram.items()},
        "lengths": [stop - start for start, stop in patched.patches()],
        "warning": warning(found),
    }


def _facts(record: dict[str, Any]) -> dict[str, str]:
    """What the head of a page and the last lines on a terminal say."""
    facts = {"text": Path(record["file"]).name, "rule": record["rule"]}
    facts |= {name: f"{record[name]:.6g} nats" for name in ("threshold", "rise") if name in record}
    facts |= {
        "bytes": f"{record['bytes']:,}",
        "patches": f"{record['patches']:,}",
        "bytes per patch": f"{record['mean_length']:.3f}",
    }
    if record["closed_by_max_length"]:
        facts["closed by max_length"] = f"{record['closed_by_max_length'] / record['patches']:.1%}"
    if not record["predictive"]:
        facts["looks ahead"] = "yes: to be shown only, not to be trained or generated with"
    return facts


def _show(patched: "Patched", record: dict[str, Any], *, as_json: bool) -> None:
    """The text on standard output, unless that belongs to JSON; numbers on standard error."""
    from isobyte.evaluate.patch_page import histogram_rows, spelt

    parts = [patched.text[start:stop] for start, stop in patched.patches()]
    if not as_json and sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        coloured = ((spelt(part, "↵\n"), _COLOURS[place % 2]) for place, part in enumerate(parts))
        Console(highlight=False).print(Text.assemble(*coloured), soft_wrap=True)
    elif not as_json:
        print("|".join(map(spelt, parts)))
    for length, count, share in histogram_rows(patched):
        console.print(f"{length:>4} {count:>9,} {'█' * round(40 * share)}", soft_wrap=True)
    console.print("  ".join(f"{name} {value}" for name, value in _facts(record).items()), soft_wrap=True, markup=False)
    if record["warning"]:
        console.print(f"warning: {record['warning']}", style="yellow", soft_wrap=True)


def _store(patcher: "Patcher", prepared: "Prepared") -> dict[str, Any]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from isobyte.backbone.patching.corpus import store_patches

    total = prepared.manifest.train.bytes + prepared.manifest.heldout.bytes
    columns = ("storing patches", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        manifest = store_patches(patcher, prepared, lambda done: bar.update(task, completed=done))
    files = [*manifest.train, *manifest.heldout]
    found = sum(file.patches for file in files)
    console.print(
        f"stored {found:,} patches of {total:,} bytes, {total / found:.3f} bytes each, in {prepared.folder}",
        soft_wrap=True,
    )
    record = {"folder": str(prepared.folder), "patcher": manifest.patcher_hash, "bytes": total}
    return {**record, "patches": found, "mean_length": total / found}
