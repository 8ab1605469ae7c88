"""`isobyte cost`: the shares of a network's parts, and of the blocks of masked cells where there are some."""

import json

import pytest

from isobyte.cli.cost import cost


def shares(printed: str) -> dict[str, float]:
    """Per cent by part, from the table of shares."""
    lines = printed.split("shares of the forward FLOPs")[1].split("Attention of all parts")[0].splitlines()
    rows = [line.split() for line in lines if "%" in line or "model" in line]
    cells = [[word for word in row if word not in {"│", "┃", "|"}] for row in rows]
    (head,), (values,) = [row for row in cells if "model" in row], [row for row in cells if "model" not in row]
    return {name: float(value.rstrip("%")) for name, value in zip(head[1:], values[1:], strict=True)}


@pytest.mark.parametrize(("recipe", "shown"), [("blt-d", True), ("blt", False)])
def test_cells_have_a_share_where_there_are_some(recipe: str, shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert cost(recipe, json=True) == 0
    told = capsys.readouterr()
    found = shares(told.err)
    (model,) = json.loads(told.out)["models"]
    parts = model["forward_flops_per_window"]
    assert ("cells" in found) == shown == (parts["cells"] > 0)
    assert ("Cells:" in told.err) == shown
    assert sum(found.values()) == pytest.approx(100, abs=0.5)
    if shown:
        whole = sum(value for name, value in parts.items() if name != "attention_executed")
        assert found["cells"] == pytest.approx(100 * parts["cells"] / whole, abs=0.1)
