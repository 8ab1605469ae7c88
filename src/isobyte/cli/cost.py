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
        rows = [_row(recipe, run_cost(run), 1.0 if run.representation.kind == "bytes" else None)]
    out = tables(json)
    out.print(_table(rows))
    out.print(_conventions(rows))
    emit({"recipe": recipe, "models": rows}, as_json=json)
    return 0


def _study_rows(study: StudyConfig) -> list[dict[str, Any]]:
    """Every size of the ladder for every design, by the largest budget's rules."""
    rows = []
    for design in study.designs:
        per_symbol = 1.0 if design.representation.kind == "bytes" else design.bytes_per_symbol
        for size in study.grid.sizes:
            cost = plan_run(study, design, study.budgets[-1], size, study.seeds[0]).cost
            rows.append(_row(f"{design.name} {size}", cost, per_symbol))
    return rows


def _row(name: str, cost: Cost, bytes_per_symbol: float | None) -> dict[str, Any]:
    """FLOPs are of training. Those per byte are exact for bytes, expected where the recipe says what a symbol holds."""
    return {
        "name": name,
        "N": cost.parameters.N,
        "N_total": cost.parameters.N_total,
        "parameters": asdict(cost.parameters),
        "flops_per_symbol": cost.per_symbol,
        "bytes_per_symbol": bytes_per_symbol,
        "flops_per_byte": cost.per_symbol / bytes_per_symbol if bytes_per_symbol else None,
        "flops_per_step": cost.per_step,
        "window": cost.window,
        "batch": cost.batch,
        "forward_flops_per_window": cost.flops.breakdown(),
        "training_flops_per_symbol_by_convention": cost.conventions,
        "memory_bytes": cost.memory.total,
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(
        title="cost of training, every matrix product counted",
        caption="Shares are of forward FLOPs; attention at its useful mean context. Memory: fp32 AdamW on one device.",
    )
    for name in (
        "model",
        "N",
        "N_total",
        "FLOPs/symbol",
        "FLOPs/byte",
        "blocks",
        "attention",
        "head",
        "FLOPs/step",
        "memory",
    ):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in rows:
        parts = row["forward_flops_per_window"]
        total = sum(value for key, value in parts.items() if key != "attention_executed")
        table.add_row(
            row["name"], f"{row['N']:,}", f"{row['N_total']:,}", f"{row['flops_per_symbol']:.4g}",
            "?" if row["flops_per_byte"] is None else f"{row['flops_per_byte']:.4g}",
            *(f"{parts[key] / total:.0%}" for key in ("blocks", "attention", "head")),
            f"{row['flops_per_step']:.3g}", f"{row['memory_bytes'] / 2**30:.2f} GiB",
        )  # fmt: skip
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
