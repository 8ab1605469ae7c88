"""What `isobyte bench sample --methods` shows."""

from typing import Any

from rich import box
from rich.table import Table

Record = dict[str, Any]
COLUMNS = (
    "method", "by", "align", "refresh", "same bytes", "prefix", "equal", "BPB", "chrF",
    "decoder", "latent", "encoder", "scorer", "bytes/ patch", "kept", "MB/byte, publ.", "MB/byte",
    "bytes/s", "over plain",
)  # fmt: skip
LEFT = 4
BUSY = 0.9
"""Shares of the processor below this are told."""


def show(record: Record, to: Any) -> None:
    """A row for each setting, and what holds for all."""
    plan, processor = record["plan"], record["device"] if record["device"].startswith("NVIDIA") else record["cpu"]
    table = Table(
        title=f"{record['model']}, {plan['texts']} texts of {plan['prompt_bytes']} + {plan['new_bytes']} bytes, "
        f"temperature {plan['temperature']:g}, {processor}, threads: {record['threads']}",
        box=box.SIMPLE_HEAD, padding=0, pad_edge=False,
    )  # fmt: skip
    for place, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if place < LEFT else "right", no_wrap=place < LEFT)
    before = None
    for row in record["rows"]:
        if before not in (None, row["method"]):
            table.add_section()
        before = row["method"]
        table.add_row(*_cells(row))
    to.print(table)
    for line in _remarks(record):
        to.print(line, soft_wrap=True)


def _cells(row: Record) -> list[str]:
    quality, passes, read = row["quality"], row["nfe_per_byte"], row["bytes_read"]
    same = {True: "yes", False: "NO", None: ""}[quality["identical"]] if row["verified"] else ""
    return [
        row["method"], row["by"] or "", row.get("align", ""), row.get("refresh", ""),
        same, _number(quality["prefix"]), _number(quality["equal"]),
        _number(quality["bpb"], 4), _number(quality["chrf"], 2),
        *(_number(passes[name]) for name in ("decoder", "latent", "encoder", "entropy")),
        _number(row["bytes_per_patch"]["output"], 2), _number(row.get("acceptance")),
        _number(read["published"] / 1e6), _number(read["full"]["all"] / 1e6),
        f"{row['bytes_per_second']:,.0f}", _number(row["over_plain"], 2),
    ]  # fmt: skip


def _number(value: float | None, places: int = 3) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _remarks(record: Record) -> list[str]:
    on_prompt = record["rows"][0]["bytes_per_patch"]["prompt"]
    lines = [
        "same bytes: of verified methods, whether all are plain decoding's; prefix, equal: shares of bytes that are, "
        "before the first that is not and in all; kept: of the bytes drafted. Passes of each module, and MB read, are "
        "per byte of the output: by the published rule, and in full by the passes made.",
        f"The text that the prompts were cut from goes on with {record['reference']['bpb']:.4f} BPB"
        + ("." if on_prompt is None else f"; patches of the prompts have {on_prompt:.2f} bytes."),
        "Less than that is text that the model finds easy, as greedy decoding's repetitions are, and not better text.",
    ]
    if record["chrf"] is None:
        lines.append('chrF is left out: it needs sacrebleu, pip install "isobyte[bench]"')
    shares = record["processor_share"]
    if record["device"] == "cpu" and min(shares) < BUSY:
        lines.append(
            f"The processor was busy with other things: at times this program had {min(shares):.0%} of one. Rates are "
            "lower than they might be, and ratios less sure."
        )
    length = record["plan"]["prompt_bytes"] + record["plan"]["new_bytes"]
    if length > record["window"]:
        lines.append(f"Texts of {length} bytes are longer than the {record['window']} that the run was trained on.")
    for row in record["rows"]:
        for found in row["quality"]["differences"] if row["verified"] else ():
            lines.append(
                f"{row['name']}, text {found['text']}: byte {found['byte']} is another than plain decoding's, "
                f"which is {found['nats']:.2g} nats likelier"
            )
    return lines
