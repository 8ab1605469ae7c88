"""`isobyte data prepare` and `isobyte data info`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from isobyte.config.data import Corpus, DataConfig, FilesCorpus, HubCorpus, SotuCorpus, StdlibCorpus
from isobyte.config.recipes import validate
from isobyte.config.representation import BpeConfig, BytesConfig, Representation

if TYPE_CHECKING:
    from isobyte.data.prepared import Prepared


def prepare(
    corpus: Annotated[str, tyro.conf.Positional],
    *,
    out: Path,
    column: str = "text",
    bpe: int | None = None,
    tokenizer: Path | None = None,
    heldout_every: int = 10,
    max_bytes: int | None = None,
    json: bool = False,
) -> int:
    """Turn a corpus into checksummed shards of symbols; what was stopped goes on from there.

    Args:
        corpus: sotu, stdlib, hub:NAME, or the path of a file, a folder or a glob
        out: the folder to fill
        column: the text column of .jsonl, .parquet and hub corpora
        bpe: train a BPE of this many symbols on the training split; bytes if left out
        tokenizer: use this tokenizer.json instead
        heldout_every: hold out every n-th document
        max_bytes: read no more than this
        json: one JSON object, last on standard output
    """
    bytes_or_bpe: Representation = BytesConfig()
    if bpe is not None or tokenizer is not None:
        path = str(tokenizer) if tokenizer else None
        bytes_or_bpe = validate(BpeConfig, {"vocab_size": bpe, "path": path}, where="--bpe")
    settings = {"corpus": corpus_named(corpus, column), "heldout_every": heldout_every, "max_bytes": max_bytes}
    run_prepare(validate(DataConfig, settings, where="data prepare"), bytes_or_bpe, out, as_json=json)
    return 0


def info(
    folder: Annotated[Path, tyro.conf.Positional], *, verify: bool = False, reference: bool = False, json: bool = False
) -> int:
    """What a prepared folder holds.

    Args:
        folder: a folder made by `data prepare`
        verify: check every checksum, however much there is
        reference: measure unigram and bigram entropies, zstd -19 and xz -9
        json: one JSON object, last on standard output
    """
    run_info(folder, verify=verify, reference=reference, as_json=json)
    return 0


def corpus_named(name: str, column: str = "text") -> Corpus:
    """`sotu`, `stdlib`, `hub:NAME`, else the path of a file, a folder or a glob."""
    match name.partition(":"):
        case ("sotu", "", _):
            return SotuCorpus()
        case ("stdlib", "", _):
            return StdlibCorpus()
        case ("hub", ":", dataset):
            return HubCorpus(name=dataset, column=column)
        case _:
            return FilesCorpus(paths=(name,), column=column)


def run_prepare(data: DataConfig, representation: Representation, out: Path, *, as_json: bool = False) -> None:
    """Prepare a corpus into folder `out`, with a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from isobyte.data.prepare import prepare

    console = Console(stderr=True)
    columns = ("preparing", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        prepared = prepare(data, representation, out, lambda done, total: bar.update(task, completed=done, total=total))
    _show(_summary(prepared), as_json)


def run_info(folder: Path, *, verify: bool = False, reference: bool = False, as_json: bool = False) -> None:
    """What a prepared folder holds; `verify` checks every checksum, `reference` measures simple rates."""
    from isobyte.data.prepared import Prepared
    from isobyte.data.reference import reference_rates

    prepared = Prepared.open(folder, verify=verify or None)
    summary = _summary(prepared)
    if reference:
        summary["reference"] = {
            "heldout": asdict(reference_rates(prepared.stream("heldout").documents())),
            "train": asdict(reference_rates(prepared.stream("train").documents())),
        }
    _show(summary, as_json)


def _summary(prepared: "Prepared") -> dict[str, Any]:
    manifest = prepared.manifest
    splits = {
        name: {
            "documents": split.documents,
            "bytes": split.bytes,
            "symbols": split.symbols,
            "bytes_per_symbol": split.bytes / split.symbols,
        }
        for name, split in (("train", manifest.train), ("heldout", manifest.heldout))
    }
    return {
        "folder": str(prepared.folder),
        "data_hash": manifest.data_hash,
        "representation_hash": manifest.representation_hash,
        "source": manifest.source,
        "alphabet": manifest.alphabet,
        **splits,
    }


def _show(summary: dict[str, Any], as_json: bool) -> None:
    """A table for people on standard error; for programs, one JSON object on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=summary["folder"], show_header=False, title_justify="left")
    for name, value in summary.items():
        shown = ", ".join(f"{k} {_plain(v)}" for k, v in value.items()) if isinstance(value, dict) else value
        if name != "folder":
            table.add_row(name, str(shown))
    Console(stderr=True).print(table)
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))


def _plain(value: Any) -> str:
    match value:
        case float():
            return f"{value:.4g}"
        case int():
            return f"{value:,}"
        case dict():
            return "(" + ", ".join(f"{k} {_plain(v)}" for k, v in value.items()) + ")"
        case _:
            return str(value)
