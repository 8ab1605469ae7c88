"""A BPB of text that was shuffled past undoing is held against its like alone, and a report says so."""

from typing import Any

import pytest
from test_standing import row

from isobyte.config.study import StudyConfig
from isobyte.study.analyse import analyse
from isobyte.study.collect import collect
from isobyte.study.folder import StudyFolder
from isobyte.study.plan import Cell, plan_run
from isobyte.study.report.standing_table import standing_table
from isobyte.study.sentences import leader
from tiny import study_data

STRIDED, INSIDE = '{"kind":"stride"}', '{"kind":"inside"}'
SHUFFLED = {"permutation": INSIDE, "source": f"{INSIDE} in 256"}
ROWS = [
    row("ar", "ar", 2.0),
    row("masked", "masked", 2.5),
    row("ar-strided", "ar", 2.6, permutation=STRIDED, source="text"),
    row("masked-strided", "masked", 2.7, permutation=STRIDED, source="text"),
    row("ar-inside", "ar", 1.5, **SHUFFLED),
    row("masked-inside", "masked", 1.7, **SHUFFLED),
    row("masked-inside-long", "masked", 1.6, permutation=INSIDE, source=f"{INSIDE} in 512"),
]


def analysis(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = [{"name": each["design"]} for each in rows]
    return analyse({"name": "x", "budgets": [1e11, 2e11], "designs": names}, rows, bootstrap=10)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return analysis(ROWS)


def test_designs_are_held_against_those_of_their_source_and_order(found: dict[str, Any]) -> None:
    assert {(c["a"], c["b"], c["contrast"]) for c in found["comparisons"]} == {
        ("masked", "ar", "objective"),
        ("masked-strided", "ar-strided", "objective"),
        ("masked-inside", "ar-inside", "objective"),
        ("ar-strided", "ar", "design"),
        ("masked-strided", "masked", "design"),
    }


def test_two_designs_of_two_sources_are_not_compared() -> None:
    assert analysis([ROWS[0], ROWS[4]])["comparisons"] == []
    assert len(analysis([ROWS[0], ROWS[3]])["comparisons"]) == 1


def test_the_leader_reads_the_text(found: dict[str, Any]) -> None:
    def design(name: str, bpb: float, source: str) -> dict[str, Any]:
        return {"name": name, "source": source, "budgets": [{"budget": 1e11, "optimum": {"L": bpb}}]}

    designs = [design("shuffled", 1.5, "inside"), design("text", 2.0, "text"), design("words", 1.4, "units")]
    led = leader(designs)
    assert led is not None
    assert led["text"].endswith("FLOPs, text reaches 2.000 BPB.")
    assert found["headline"]["leader"]["design"] == "ar"
    alone = leader([designs[0], designs[2]])
    assert alone is not None
    assert alone["design"] == "shuffled"
    of_runs = {design["name"]: design["source"] for design in found["designs"]}
    assert [name for name, source in of_runs.items() if source == "text"] == [each["design"] for each in ROWS[:4]]


def test_the_table_keeps_sources_apart(found: dict[str, Any]) -> None:
    entries = {entry["design"]: entry for entry in found["standings"]}
    assert list(entries)[:4] == ["ar", "masked", "ar-strided", "masked-strided"]
    assert entries["masked-strided"]["difference"]["reference"] == "ar"
    assert entries["masked-inside"]["difference"]["reference"] == "ar-inside"
    assert entries["masked-inside-long"]["difference"] is None
    html = standing_table(found, "")
    assert html.count("(another source)") == 3
    assert "= 1.500 (another source)" in html
    assert "= 2.000 (another source)" not in html


def test_a_caution_names_the_designs(found: dict[str, Any]) -> None:
    (warning,) = [each for each in found["warnings"] if each["code"] == "another-source"]
    assert warning["severity"] == "caution"
    assert warning["designs"] == ["ar-inside", "masked-inside", "masked-inside-long"]
    assert "its BPB is that of another source" in warning["text"]
    assert not [each for each in analysis(ROWS[:4])["warnings"] if each["code"] == "another-source"]


def test_rows_say_what_was_read(tmp_path) -> None:
    """From the design, whether its runs are done or not."""
    data = study_data()
    orders = {"inside": {"kind": "inside"}, "stride": {"kind": "stride"}, "none": None}
    data["designs"] = [data["designs"][0] | {"name": name, "permutation": order} for name, order in orders.items()]
    study = StudyConfig.model_validate(data)
    for design in study.designs:
        assert plan_run(study, design, 4e7, "w16", 0).config.permutation == design.permutation
    rows = collect(study, StudyFolder.create(tmp_path / "study", study), [Cell(n, 4e7, "w16", 0) for n in orders])
    inside, stride, plain = rows
    assert inside["source"].endswith(" in 16")
    assert '"kind":"inside"' in inside["source"]
    assert (stride["source"], plain["source"]) == ("text", "text")
    assert '"stride":4' in stride["permutation"]
    assert plain["permutation"] is None
