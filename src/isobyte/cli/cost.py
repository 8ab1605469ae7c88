"""`isobyte cost`: parameters, FLOPs and memory from configs alone."""

from dataclasses import asdict
from typing import Annotated, Any

import tyro
from rich.table import Table

from isobyte.cli.output import emit, tables
from isobyte.config.recipes import load_recipe, recipe_kind
from isobyte.config.run import RunConfig
from isobyte.config.study import StudyConfig
from isobyte.cost.design import Cost, run_cost
from isobyte.study.plan import plan_run

PARTS = ("blocks", "encoder", "latent", "decoder", "cross", "cells", "attention", "head", "patcher")
"""Of the forward FLOPs, as far as tables show them."""


def cost(
    recipe: Annotated[str, tyro.conf.Positional],
    overrides: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    *,
    json: bool = False,
) -> int:
    """Parameters, exact FLOPs and memory of every model of a recipe, with other FLOP conventions beside.

    Args:
        recipe: a shipped recipe's name or a .toml file, of a study or of a run
        overrides: key.path=value
        json: one JSON object, last on standard output
    """
    if recipe_kind(recipe) is StudyConfig:
        rows = _study_rows(load_recipe(recipe, StudyConfig, overrides))
    else:
        run = load_recipe(recipe, RunConfig, overrides)
        rows = [_row(recipe, run_cost(run), run.representation.bytes_per_symbol)]
    out = tables(json)
    out.print(_table(rows))
    if any(row["bytes_per_patch"] for row in rows):
        out.print(_parts(rows))
    out.print(_conventions(rows))
    emit({"recipe": recipe, "models": rows}, as_json=json)
    return 0


def _study_rows(study: StudyConfig) -> list[dict[str, Any]]:
    """Every size of the ladder for every design, by the largest budget's rules."""
    rows = []
    for design in study.designs:
        per_symbol = design.representation.bytes_per_symbol or design.bytes_per_symbol
        for size in study.grid.sizes:
            cost = plan_run(study, design, study.budgets[-1], size, study.seeds[0]).cost
            rows.append(_row(f"{design.name} {size}", cost, per_symbol))
    return rows


def _row(name: str, cost: Cost, bytes_per_symbol: float | None) -> dict[str, Any]:
    """FLOPs are of training. Those per byte are exact for bytes and digits, for others as the recipe expects."""
    return {
        "name": name,
        "N": cost.parameters.N,
        "N_total": cost.parameters.N_total,
        "parameters": asdict(cost.parameters),
        "flops_per_symbol": cost.per_symbol,
        "bytes_per_symbol": bytes_per_symbol,
        "flops_per_byte": cost.per_symbol / bytes_per_symbol if bytes_per_symbol else None,
        "flops_per_step": cost.per_step,
        "bytes_per_patch": cost.bytes_per_patch,
        "window": cost.window,
        "batch": cost.batch,
        "forward_flops_per_window": cost.flops.breakdown(),
        "training_flops_per_symbol_by_convention": cost.conventions,
        "memory_bytes": cost.memory.total,
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    """With frozen parameters and bytes per patch where there are networks over patches; their shares stand apart."""
    caption = "Shares are of forward FLOPs; attention at its useful mean context. Memory: fp32 AdamW on one device."
    patched = [name for name in ("frozen", "bytes/patch") if any(row["bytes_per_patch"] for row in rows)]
    shares = () if patched else ("blocks", "attention", "head")
    if patched:
        caption = "N and N_total leave out what is frozen. Patches as expected. Memory: fp32 AdamW on one device."
    table = Table(title="cost of training, every matrix product counted", caption=caption)
    for name in ("model", "N", "N_total", *patched, "FLOPs/symbol", "FLOPs/byte", *shares, "FLOPs/step", "memory"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in rows:
        parts = row["forward_flops_per_window"]
        total = sum(value for key, value in parts.items() if key != "attention_executed")
        length = row["bytes_per_patch"]
        beside = (f"{row['parameters']['patcher']:,}", "-" if length is None else f"{length:.2f}") if patched else ()
        table.add_row(
            row["name"], f"{row['N']:,}", f"{row['N_total']:,}", *beside, f"{row['flops_per_symbol']:.4g}",
            "?" if row["flops_per_byte"] is None else f"{row['flops_per_byte']:.4g}",
            *(f"{parts[key] / total:.0%}" for key in shares),
            f"{row['flops_per_step']:.3g}", f"{row['memory_bytes'] / 2**30:.2f} GiB",
        )  # fmt: skip
    return table


def _parts(rows: list[dict[str, Any]]) -> Table:
    """Where the forward FLOPs go in networks of several parts."""
    caption = "Attention of all parts, at its useful mean context; cross: all between bytes and patches."
    if any(row["forward_flops_per_window"]["cells"] for row in rows):
        caption += " Cells: all that is done for the blocks beside the text."
    table = Table(title="shares of the forward FLOPs", caption=caption)
    named = [part for part in PARTS if any(row["forward_flops_per_window"][part] for row in rows)]
    for name in ("model", *named):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in rows:
        parts = row["forward_flops_per_window"]
        total = sum(value for key, value in parts.items() if key != "attention_executed")
        table.add_row(row["name"], *(f"{parts[name] / total:.1%}" for name in named))
    return table


def _conventions(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="training FLOPs per symbol, as a multiple of the exact count")
    names = [name for name in rows[0]["training_flops_per_symbol_by_convention"] if name != "exact"]
    for name in ("model", *names):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in rows:
        rules = row["training_flops_per_symbol_by_convention"]
        table.add_row(row["name"], *(f"{rules[name] / rules['exact']:.2f}" for name in names))
    return table
