"""`isobyte data controls`"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from isobyte.cli.output import console, emit, tables
from isobyte.config.recipes import load_recipe, recipe_kind
from isobyte.config.run import RunConfig
from isobyte.config.study import DesignConfig, StudyConfig
from isobyte.errors import UserError
from isobyte.study import words

if TYPE_CHECKING:
    from rich.table import Table

    from isobyte.evaluate.controls.texts import Texts

COLUMNS = 5
"""Designs side by side; of more there are several tables."""
LAGS = ("1", "2", "4", "8", "16", "32")
"""Of those measured, as far as tables show them."""


def controls(
    recipe_or_run: Annotated[str, tyro.conf.Positional],
    file: Annotated[Path | None, tyro.conf.Positional] = None,
    *,
    max_bytes: int = 200_000,
    bpe: int = 512,
    tokenizer: Path | None = None,
    seed: int = 0,
    json: bool = False,
) -> int:
    """What the permutation of a run, or of each design of a study, keeps of the text and what it destroys, and how near
    to a symbol that is asked for lies what its objective shows. Nothing is trained.

    Args:
        recipe_or_run: a shipped recipe's name or a .toml file, of a study or of a run; or the folder of a run
        file: the text, any bytes; the recipe's own training text if left out
        max_bytes: measure no more than this, spread evenly over the text
        bpe: symbols of the BPE whose tokens are counted, learned from the text
        tokenizer: count the tokens of this tokenizer.json instead
        seed: of shuffles, of masks and of what is asked
        json: one JSON object, last on standard output
    """
    for option, value, least in (("--max-bytes", max_bytes, 1), ("--bpe", bpe, 256), ("--seed", seed, 0)):
        if value < least:
            raise UserError(f"{value} is too few", where=option, how=f"take at least {least}")
    from isobyte.evaluate.controls.texts import Texts

    data, designs, folder = _named(recipe_or_run)
    texts = Texts(data, file, max_bytes=max_bytes)
    if folder is not None and (folder / "representation").is_dir():
        from isobyte.representation import load

        texts.know(designs[0][1].representation, load(folder / "representation"))
    found = _measure(designs, texts, bpe, tokenizer, max_bytes, seed)
    for start in range(0, len(found), COLUMNS):
        tables(json).print(_table(found[start : start + COLUMNS]))
    reasons = {reason: None for each in found for reason in each["left_out"].values()}
    for reason in reasons:
        names = sorted({n for each in found for n, why in each["left_out"].items() if why == reason})
        console.print(f"-: {', '.join(names)}: {reason}", soft_wrap=True)
    emit({"recipe": recipe_or_run, "file": None if file is None else str(file), "designs": found}, as_json=json)
    return 0


def _named(name: str) -> tuple[Any, list[tuple[str, RunConfig | DesignConfig]], Path | None]:
    """Data, designs by name, and the folder if it is a run's."""
    if Path(name).is_dir():
        from isobyte.train.folder import RunFolder

        config = RunFolder(Path(name)).config()
        return config.data, [(Path(name).name, config)], Path(name)
    if recipe_kind(name) is StudyConfig:
        study = load_recipe(name, StudyConfig)
        return study.data, [(design.name, design) for design in study.designs], None
    config = load_recipe(name, RunConfig)
    return config.data, [(Path(name).stem, config)], None


def _measure(
    designs: Sequence[tuple[str, RunConfig | DesignConfig]],
    texts: "Texts",
    bpe: int,
    tokenizer: Path | None,
    max_bytes: int,
    seed: int,
) -> list[dict[str, Any]]:
    """A record for each design; those of one key share what was measured."""
    from rich.progress import track

    from isobyte.evaluate.controls.designs import designs_controls

    try:
        tokens = texts.tokens(bpe, tokenizer)
    except UserError as problem:
        if problem.where != "representation.vocab_size":
            raise
        raise UserError(problem.what, where="--bpe", how=problem.how) from None

    def watch(each: Iterable[RunConfig | DesignConfig]) -> Iterable[RunConfig | DesignConfig]:
        return track(list(each), "measuring", console=console, transient=True)

    found = designs_controls(dict(designs), texts, tokens, max_bytes=max_bytes, seed=seed, watch=watch)
    return [{"name": name, **each} for name, each in found.items()]


def _table(found: Sequence[dict[str, Any]]) -> "Table":
    from rich.table import Table

    caption = (
        "Means and their standard errors over windows; 'x of y': as it is read, of what the text has. Distances are "
        "those of the text. Told by what is visible: symbol by symbol, within 32 places, added up, a yardstick."
    )
    table = Table(title="controls", caption=caption)
    table.add_column("")
    for each in found:
        table.add_column(each["name"], justify="right")
    for name, cell in _rows().items():
        table.add_row(name, *(cell(each) for each in found))
    return table


def _rows() -> dict[str, Any]:
    """What each row says of a design."""
    return {
        "symbols": lambda f: f["representation"]["kind"],
        "objective": lambda f: f["objective"]["kind"],
        "permutation": lambda f: words.permutation(f["permutation"]),
        "window": lambda f: f"{f['window']:,}",
        "windows measured": lambda f: f"{f['windows']:,}",
        "entropy, bits a symbol": lambda f: _mean(f["histogram"]["entropy"]),
        "total variation": lambda f: f"{f['histogram']['total_variation']:.4f}",
        **{f"told at lag {lag}, bits": lambda f, lag=lag: _information(f, lag) for lag in LAGS},
        **{f"{n}-grams of the text": lambda f, n=n: _ngrams(f, n) for n in ("2", "3", "4")},
        "bytes per token": _tokens,
        "nearest visible, symbols": lambda f: _mean(f["nearest"]),
        "nearest visible, bytes": lambda f: _mean(f["nearest_bytes"]),
        "nothing visible": lambda f: _mean(f["alone"]),
        "visible run, symbols": lambda f: _mean(f["run"]),
        "visible run, bytes": lambda f: _mean(f["run_bytes"]),
        "told by visible, bits": lambda f: _mean(f["information"]),
    }


def _mean(measured: dict[str, Any] | None) -> str:
    if measured is None or measured.get("value") is None:
        return "-"
    error = measured["stderr"]
    return f"{measured['value']:.3f}" + ("" if error is None else f" +- {error:.3f}")


def _information(found: dict[str, Any], lag: str) -> str:
    both = found["mutual_information"]
    if both is None or lag not in both["read"]:
        return "-"
    told = both["read"][lag]
    read = _mean({"value": told["bits"], "stderr": told["stderr"]})
    return f"{read} of {both['text'][lag]['bits']:.3f}"


def _ngrams(found: dict[str, Any], n: str) -> str:
    return "-" if found["ngram_overlap"] is None else _mean(found["ngram_overlap"].get(n))


def _tokens(found: dict[str, Any]) -> str:
    counted = found["bytes_per_token"]
    return f"{_mean(counted['read'])} of {counted['text']['value']:.3f}"
