"""Designs at one budget: the best of each, and its distance to autoregression on the same text."""

import math

import numpy as np
import pytest

from isobyte.study.analyse import analyse
from isobyte.study.pairs import pairs
from isobyte.study.panel import fit_panel
from isobyte.study.report.figures import all_figures
from isobyte.study.report.page import render_page
from isobyte.study.report.standing_table import standing_table
from isobyte.study.standing import difference, standings

BYTES, PARTS = 32_000, 32


def row(design: str, objective: str, bpb: float, *, noise: float = 0.0, seed: int = 0, **more):
    each = bpb + noise * np.random.default_rng(seed).standard_normal(PARTS)
    nats = each * math.log(2) * BYTES / PARTS
    return {
        "design": design, "objective": objective, "representation": "bytes", "budget": 1e11, "size": "w16", "N": 1000,
        "seed": 0, "flops": 1e11, "data_bytes": 1e6, "state": "done", "kind": "exact" if objective == "ar" else "bound",
        "bpb": float(each.mean()), "estimator": "e", "folder": f"runs/{design}", "text_bytes": BYTES,
        "nats_by_part": nats.tolist(), **more,
    }  # fmt: skip


def panels(rows):
    names = dict.fromkeys(r["design"] for r in rows)
    own = {name: [r for r in rows if r["design"] == name] for name in names}
    kinds = {name: (rows[0]["representation"], rows[0]["objective"]) for name, rows in own.items()}
    return [fit_panel(n, *kinds[n], own[n], bootstrap=10, level=0.9, seed=0) for n in names]


def test_best_runs_are_ranked_and_held_against_ar() -> None:
    rows = [
        row("ar", "ar", 2.0),
        row("ar", "ar", 2.2, N=2000),
        row("masked", "masked", 3.0),
        row("span", "span", 2.5, companions=[{"estimator": "joint_ce", "kind": "surrogate", "value": 1.5}]),
    ]
    found = standings(panels(rows), 0.9)
    assert [entry["design"] for entry in found] == ["ar", "span", "masked"]
    assert found[0]["difference"] is None
    assert found[1]["difference"]["bpb"] == pytest.approx(0.5)
    assert found[2]["difference"]["reference"] == "ar"
    html = standing_table({"standings": found, "options": {"level": 0.9}}, "../")
    assert "surrogate/joint_ce 1.500" in html
    assert "= 2.000" in html
    assert "≤ 3.000" in html


def test_paired_interval_covers_the_difference_nine_times_in_ten() -> None:
    covered = []
    for seed in range(400):
        ours, theirs = (
            row("a", "masked", 2.3, noise=0.2, seed=2 * seed),
            row("b", "ar", 2.0, noise=0.2, seed=2 * seed + 1),
        )
        found = difference(ours, theirs, 0.9)
        assert found is not None
        covered.append(found["low"] <= 0.3 <= found["high"])
    assert 0.855 <= np.mean(covered) <= 0.945, "within 3 binomial deviations of 0.9"


def test_what_texts_share_drops_out() -> None:
    shared = np.random.default_rng(0).standard_normal(PARTS)
    ours, theirs = (
        row("a", "masked", 0.0, nats_by_part=((level + shared) * math.log(2) * BYTES / PARTS).tolist())
        for level in (3.0, 2.0)
    )
    found = difference(ours, theirs, 0.9)
    assert found is not None
    assert found["low"] == pytest.approx(1.0)
    assert found["high"] == pytest.approx(1.0)


@pytest.mark.parametrize("broken", [{"nats_by_part": None}, {"nats_by_part": [1.0]}, {"text_bytes": 5}])
def test_other_texts_are_not_compared(broken) -> None:
    assert difference(row("a", "masked", 3.0, **broken), row("b", "ar", 2.0), 0.9) is None


def test_a_study_of_one_budget_states_no_gap_and_ranks_first() -> None:
    rows = [row("ar", "ar", 2.0 + 0.1 * N, N=N * 1000) for N in (1, 2, 3)]
    rows += [row("masked", "masked", 3.0 + 0.1 * N, N=N * 1000) for N in (1, 2, 3)]
    found = analyse({"name": "one", "budgets": [1e11]}, rows, bootstrap=10)
    assert found["comparisons"] == []
    assert [entry["design"] for entry in found["standings"]] == ["ar", "masked"]
    page = render_page(found, rows, all_figures(found, rows))
    assert 0 < page.index('id="standing"') < page.index('id="isoflop"')
    several = analyse({"name": "two", "budgets": [1e11, 2e11]}, rows, bootstrap=10)
    assert len(several["comparisons"]) == 1


def test_patched_designs_stand_against_the_flat_one() -> None:
    patched = {"backbone": "blt", "bytes_per_patch": 4.25}
    rows = [row("flat", "ar", 2.0), row("blt", "ar", 1.5, **patched), row("masked", "masked", 3.0)]
    found = standings(panels(rows), 0.9)
    assert [entry["design"] for entry in found] == ["blt", "flat", "masked"]
    assert found[0]["difference"]["reference"] == found[2]["difference"]["reference"] == "flat"
    assert found[0]["difference"]["bpb"] == pytest.approx(-0.5)
    assert [entry["backbone"] for entry in found] == ["blt", "flat", "flat"]
    html = standing_table({"standings": found, "options": {"level": 0.9}}, "../")
    assert "Bytes per patch" in html
    assert "4.25" in html


def test_the_finer_representation_comes_first_and_each_has_its_own_autoregression() -> None:
    """Bits and nibbles are two representations: diffusion on one never stands against autoregression on the other."""
    rows = [row(f"{kind}-ar", "ar", 2.0, representation=kind) for kind in ("bytes", "bits", "nibbles", "bpe")]
    rows.append(row("bits-masked", "masked", 3.0, representation="bits"))
    found = [(pair.a.name, pair.b.name) for pair in pairs(panels(rows)) if pair.contrast == "representation"]
    assert set(found) == {
        ("bits-ar", "nibbles-ar"), ("bits-ar", "bytes-ar"), ("bits-ar", "bpe-ar"),
        ("nibbles-ar", "bytes-ar"), ("nibbles-ar", "bpe-ar"), ("bytes-ar", "bpe-ar"),
    }  # fmt: skip
    found = [(pair.a.name, pair.b.name) for pair in pairs(panels(rows)) if pair.contrast == "objective"]
    assert found == [("bits-masked", "bits-ar")]


def test_backbones_of_one_objective_are_compared_as_designs() -> None:
    rows = [row("flat", "ar", 2.0), row("blt", "ar", 1.5, backbone="blt"), row("masked", "masked", 3.0)]
    found = [(pair.a.name, pair.b.name, pair.contrast) for pair in pairs(panels(rows))]
    assert found == [("masked", "flat", "objective"), ("blt", "flat", "design")]
