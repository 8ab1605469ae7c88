"""What `isobyte bench sample` shows."""

from typing import Any

from rich.table import Table

Record = dict[str, Any]


def show(record: Record, to: Any) -> None:
    """Ceiling, achieved and share, then drafts, then transformers."""
    processor = record["device"] if record["device"].startswith("NVIDIA") else record["cpu"]
    to.print(_rates(record, f"generation, {record['model']}, greedy, {processor}, threads: {record['threads']}"))
    ceiling = record["ceiling"]
    for way, rates in ceiling["bytes_per_second"].items():
        large, own, library, read = (f"{rates[name] / 2**30:.1f}" for name in ("large", "own", "library", "read"))
        to.print(
            f"ceiling, {way}: a row times large matrices reads {large} GiB/s, times the model's own {own}, times large "
            f"ones as torch lays them out {library}, a sum {read}; last-level cache {ceiling['cache'] / 2**20:.0f} MiB"
        )
    for growth in record["growth"]:
        to.print(
            f"{growth['weights']}: time per byte, {growth['to']:,} new bytes over {growth['from']:,}: "
            f"{growth['mean']:.2f}" + ("" if growth["last"] is None else f", of the last bytes {growth['last']:.2f}")
        )
    for batch in record["batch"]:
        to.print(f"{batch['weights']}: {batch['texts']} texts over one: {batch['over_one']:.2f} times the bytes/s")
    if record["drafts"]:
        to.print(_drafts(record))
    peer = record["peer"]
    if peer is not None and "left_out" in peer:
        to.print(f"transformers is left out: {peer['left_out']}")
    elif peer is not None:
        to.print(_peer(peer))


def _rates(record: Record, title: str) -> Table:
    columns = (
        "weights", "new bytes", "texts", "bytes/s", "at the ceiling", "share", "of own", "of torch's", "of a sum",
        "MB read a byte", "as published", "bytes per patch", "on the prompt", "prompt, s",
    )  # fmt: skip
    table = _table(title, columns, left=1)
    for row in sorted((*record["plain"], *record["batch"]), key=lambda row: row["weights"], reverse=True):
        lengths, read = row["bytes_per_patch"], row["bytes_read"]
        table.add_row(
            row["weights"], f"{row['new_bytes']:,}", str(row.get("texts", 1)), f"{row['bytes_per_second']:,.1f}",
            f"{row['ceiling']['large']:,.1f}",
            *(f"{row['share'][name]:.0%}" for name in ("large", "own", "library", "read")),
            f"{read['full']['all'] / 1e6:.2f}", f"{read['published'] / 1e6:.2f}",
            _number(lengths["output"]), _number(lengths["prompt"]), f"{row['seconds']['prompt']:.3f}",
        )  # fmt: skip
    return table


def _drafts(record: Record) -> Table:
    columns = (
        "weights", "refresh", "k", "kept", "bytes a round", "latent passes a round", "scorer's", "bytes/s",
        "over plain", "MB read a byte", "as published", "same bytes",
    )  # fmt: skip
    table = _table(f"drafts (BLT-S), {record['drafts'][0]['new_bytes']} new bytes", columns, left=2)
    for row in record["drafts"]:
        passes, read = row["passes_per_round"], row["bytes_read"]
        table.add_row(
            row["weights"], row["refresh"], str(row["draft"]),
            "" if row["acceptance"] is None else f"{row['acceptance']:.1%}",
            f"{row['bytes_per_round']:.2f}", f"{passes['latent']:.2f}", f"{passes['entropy']:.2f}",
            f"{row['bytes_per_second']:,.1f}", f"{row['over_plain']:.2f}", f"{read['full']['all'] / 1e6:.2f}",
            f"{read['published'] / 1e6:.2f}", "yes" if row["identical"] else "NO",
        )  # fmt: skip
    return table


def _peer(peer: Record) -> Table:
    columns = ("", "new bytes", "bytes/s", "ours over theirs", "same bytes")
    table = _table(f"transformers {peer['transformers']}, generate(use_cache=False)", columns, left=1)
    for row in peer["lengths"]:
        same = {True: "yes", None: ""}.get(row.get("identical"), f"NO, from {row.get('first_difference')} on")
        table.add_row(
            "measured" if row["measured"] else "estimated", f"{row['new_bytes']:,}", f"{row['bytes_per_second']:.2f}",
            ", ".join(f"{way} {times:.1f}" for way, times in row["ratio"].items()), same,
        )  # fmt: skip
    return table


def _table(title: str, columns: tuple[str, ...], left: int) -> Table:
    table = Table(title=title)
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < left else "right")
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
