"""Tables of a study's runs, for people."""

from typing import Any

from rich.table import Table


def plan_table(planned: dict[str, Any]) -> Table:
    """A row per planned run and the totals below."""
    table = Table(title=f"study {planned['study']}: {len(planned['runs'])} runs", caption=_caption(planned))
    for name in (
        "design",
        "budget",
        "size",
        "layers x width",
        "N",
        "window x batch",
        "lr",
        "steps",
        "symbols",
        "s",
    ):
        table.add_column(name, justify="left" if name in ("design", "size") else "right")
    for run in planned["runs"]:
        table.add_row(
            run["design"], f"{run['budget']:.3g}", run["size"], f"{run['layers']} x {run['width']}", f"{run['N']:,}",
            f"{run['window']} x {run['batch']}", f"{run['lr']:.3g}", f"{run['steps']:,}", f"{run['symbols']:,}",
            "done" if run["done"] else f"{run['seconds']:.0f}",
        )  # fmt: skip
    return table


def _caption(planned: dict[str, Any]) -> str:
    patched = ""
    if any(run["bytes_per_patch"] for run in planned["runs"]):
        patched = " Of networks over patches: layers and width of the latent transformer."
    return (
        f"{planned['flops']:.3g} training FLOPs; about {duration(planned['seconds'])} more at "
        f"{planned['flops_per_second'] / 1e9:.0f} GFLOP/s ({planned['rate_is']}). Grids above the smallest budget are "
        f"re-centred on what the ones below measure.{patched}"
    )


def status_table(rows: list[dict[str, Any]]) -> Table:
    """A row per run the study wants so far."""
    table = Table(title=f"{sum(row['state'] == 'done' for row in rows)} of {len(rows)} runs done")
    for name in ("design", "budget", "size", "seed", "state", "BPB", "error"):
        table.add_column(name)
    for row in rows:
        bpb = "" if row["bpb"] is None else f"{row['bpb']:.4f}"
        table.add_row(
            row["design"],
            f"{row['budget']:.3g}",
            row["size"],
            str(row["seed"]),
            row["state"],
            bpb,
            row["error"] or "",
        )
    return table


def duration(seconds: float) -> str:
    """`42 s`, `7 min`, `3.1 h`, `12 days`."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}" if size < 3600 else f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86_400:,.0f} days"
