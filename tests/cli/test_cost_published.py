"""`isobyte cost published`, and the page that holds what it prints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from isobyte.cli.cost_published import published

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fast-blt.md"


def test_the_page_holds_what_is_printed_today(capsys: pytest.CaptureFixture[str]) -> None:
    assert published() == 0
    printed = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    section = PAGE.read_text().split("## What the published savings become\n")[1].split("\n## ")[0].splitlines()
    tables = [line for line in printed if line.startswith("|")]
    assert len(tables) == 3 * 2 + 9 + 8 + 32
    assert [line for line in section if line.startswith("|")] == tables
    remarks = [line for line in printed if not line.startswith("|")]
    assert len(remarks) == 5
    assert all(f"- {line}" in section for line in remarks)


def test_json_is_the_last_line_and_needs_no_torch() -> None:
    script = "import sys; sys.argv = ['isobyte', 'cost', 'published', '--json']\nfrom isobyte.cli.main import main\n"
    script += "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules, 'torch was imported'"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["source"] == "arXiv 2605.08044"
    assert (len(found["baselines"]), len(found["rows"])) == (8, 223)
    assert found["not_available"] == [["3B", "mbpp", "DV 4 confidence 0.3"]]
    (row,) = [
        row for row in found["rows"]
        if (row["row"]["size"], row["row"]["task"], row["name"]) == ("3B", "fr-en", "D 16 confidence 0.7")
    ]  # fmt: skip
    assert row["row"]["gigabytes"] == 233.87
    assert row["rounds"] == 32
    assert row["formula"] == pytest.approx(233.87, rel=0.01)
    assert row["one_pass"] is row["savings"]["one_pass"] is None
