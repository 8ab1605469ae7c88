"""The generation tables of Fast BLT (arXiv 2605.08044), and what their savings are against an honest baseline.

The publication compares with a BLT that opens a patch every 1.2 to 2.4 bytes while it generates, and leaves the scorer
out. The honest baseline opens one every `PATCH` bytes. Calls of the drafting methods stay as published: how often they
encode does not follow from the length of patches. All recounted gigabytes, of both sides, are by the published rule.
"""

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from isobyte.cost.bandwidth import HALF, PUBLISHED, published_bandwidth

PATCH = 4.0
"""Mean bytes of a patch that the models were trained with."""

SCORER = 99.5e6
"""Parameters of the entropy model that a pass reads (arXiv 2412.09871's default)."""

TOKEN = 4.4
"""Bytes of a token of the BPE that arXiv 2412.09871 compares with."""

GIGA = 1e9


@dataclass(frozen=True)
class Row:
    """A cell of the tables: what one method took for one text, in the mean over a task's texts."""

    size: str
    task: str
    method: str
    """BLT, S, D or DV."""
    block: int | None
    """Bytes drafted (S), or of a block (D, DV)."""
    policy: str | None
    """How a block is filled: confidence alpha, entropy gamma, one step."""
    score: float
    acceptance: float | None
    """Share of the drafted bytes that were accepted."""
    decoder: int
    latent: int
    """Calls of the encoder and the latent transformer, which the publication counts together."""
    gigabytes: float

    @property
    def name(self) -> str:
        return " ".join(str(part) for part in (self.method, self.block, self.policy) if part is not None)

    @property
    def rounds(self) -> float | None:
        """Of drafting: BLT-D encodes once a block; BLT-S and BLT-DV twice a round: what is settled, to verify.

        Means, like the calls that they follow from.
        """
        return {"BLT": None, "D": float(self.latent)}.get(self.method, self.latent / 2)


@dataclass(frozen=True)
class Recount:
    """Gigabytes of a row by the published rule, and the share that it saves. A saving below zero costs more."""

    row: Row
    formula: float
    """From the row's calls."""
    scorer: float
    """The scorer's, once whenever bytes are encoded: BLT a byte, BLT-D a block, BLT-S and BLT-DV twice a round."""
    one_pass: float | None
    """`formula` with one pass of encoder and latent transformer a round, at unchanged acceptance (BLT-S, BLT-DV)."""
    savings: dict[str, float | None]
    """published: as printed, against the BLT of the paper. patches: against `PATCH` bytes a patch. scorer: the same,
    the scorer counted on both sides; scorer_once: once a round only. one_pass, one_pass_scorer: of `one_pass`, without
    the scorer and with it once a round."""

    def to_json(self) -> dict[str, Any]:
        return {"name": self.row.name, "rounds": self.row.rounds} | asdict(self)


@dataclass(frozen=True)
class Baseline:
    """Plain BLT for one size and task, as published and honestly, and BPE whose transformer is the latent one."""

    published: Row
    bytes_per_patch: float
    honest: float
    """Gigabytes at `PATCH` bytes a patch."""
    scorer: float
    """Gigabytes of the scorer, once a byte."""
    bpe: float
    """Gigabytes of that transformer once per `TOKEN` bytes, its head left out as everywhere in the published rule."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@cache
def _facts() -> dict[str, Any]:
    return json.loads(files("isobyte.cost").joinpath("fast_blt.json").read_text())


def source() -> str:
    return _facts()["source"]


def task_names() -> dict[str, str]:
    return {task: told["name"] for task, told in _facts()["tasks"].items()}


@cache
def rows() -> tuple[Row, ...]:
    """Every cell that has numbers."""
    return tuple(_row(line, task, line[task]) for line in _facts()["rows"] for task in task_names() if line[task])


def not_available() -> list[tuple[str, str, str]]:
    """Size, task and setting of the cells that the tables leave open: they are in no count here."""
    lines = [(line, task) for line in _facts()["rows"] for task in task_names() if not line[task]]
    return [(line["size"], task, f"{line['method']} {line['block']} {line['policy']}") for line, task in lines]


def _row(line: dict[str, Any], task: str, cell: list[Any]) -> Row:
    score, acceptance, decoder, latent, gigabytes = cell
    share = None if acceptance is None else acceptance / 100
    return Row(
        line["size"], task, line["method"], line["block"], line["policy"], score, share, decoder, latent, gigabytes
    )


def baseline(size: str, task: str) -> Baseline:
    """Plain BLT; the length of the text in bytes is its decoder's calls."""
    found = next(row for row in rows() if (row.size, row.task, row.method) == (size, task, "BLT"))
    length = found.decoder
    return Baseline(
        published=found,
        bytes_per_patch=length / found.latent,
        honest=published_bandwidth(length, length / PATCH, PUBLISHED[size]) / GIGA,
        scorer=HALF * SCORER * length / GIGA,
        bpe=HALF * _facts()["latent_parameters"][size] * length / TOKEN / GIGA,
    )


def recount(row: Row) -> Recount:
    base, rounds = baseline(row.size, row.task), row.rounds
    formula = published_bandwidth(row.decoder, row.latent, PUBLISHED[row.size]) / GIGA
    a_pass = HALF * SCORER / GIGA
    scorer = a_pass * (row.decoder if row.method == "BLT" else row.latent)
    once = None if rounds is None else a_pass * rounds
    one_pass = None
    if row.method in ("S", "DV"):
        one_pass = published_bandwidth(row.decoder, row.latent / 2, PUBLISHED[row.size]) / GIGA
    whole = base.honest + base.scorer
    return Recount(row, formula, scorer, one_pass, {
        "published": 1 - row.gigabytes / base.published.gigabytes,
        "patches": 1 - formula / base.honest,
        "scorer": 1 - (formula + scorer) / whole,
        "scorer_once": None if once is None else 1 - (formula + once) / whole,
        "one_pass": None if one_pass is None else 1 - one_pass / base.honest,
        "one_pass_scorer": None if one_pass is None or once is None else 1 - (one_pass + once) / whole,
    })  # fmt: skip


def telling(size: str, task: str) -> list[tuple[str, Recount]]:
    """Of S, D and DV the row of fewest gigabytes, and of D the one of the best score (of equals the cheapest)."""
    here = [row for row in rows() if (row.size, row.task) == (size, task)]
    chosen = [("cheapest", min((row for row in here if row.method == kind), key=_cheap)) for kind in ("S", "D", "DV")]
    best = max((row for row in here if row.method == "D"), key=lambda row: (row.score, -row.gigabytes))
    return [(why, recount(row)) for why, row in (chosen[0], chosen[1], ("best score", best), chosen[2])]


def _cheap(row: Row) -> float:
    return row.gigabytes
