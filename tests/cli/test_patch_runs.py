"""Runs of whole patches: compressed and back, sampled, and what they refuse."""

import json
import re
from pathlib import Path

import pytest

from patch_models import KINDS, train_kinds


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return train_kinds(tmp_path_factory.mktemp("patches"))


@pytest.mark.parametrize("kind", KINDS)
def test_files_come_back(kind: str, runs: dict[str, Path], isobyte, tmp_path: Path) -> None:
    text, packed, back = tmp_path / "text", tmp_path / "packed", tmp_path / "back"
    text.write_bytes(b"one two, three\nfour" + bytes(range(200, 256)))
    assert isobyte("compress", str(runs[kind]), str(text), str(packed))[0] == 0
    assert isobyte("decompress", str(runs[kind]), str(packed), str(back))[0] == 0
    assert back.read_bytes() == text.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_sampled(kind: str, runs: dict[str, Path], isobyte) -> None:
    code, out, _ = isobyte("sample", str(runs[kind]), "--count", "3", "--length", "9", "--json")
    samples = json.loads(out.splitlines()[-1])["samples"]
    assert (code, len(samples)) == (0, 3)
    assert all(sample["bytes"] == sample["symbols"] for sample in samples)
    if kind == "patch_ar":
        assert {sample["bytes"] for sample in samples} == {9}
        code, out, _ = isobyte("sample", str(runs[kind]), "--prompt", "to b", "--length", "9")
        assert code == 0
        assert out.startswith("to b")


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("patch_masked", ("--prompt", "x"), "no place|begins is known"),
        ("patch_masked", ("--method", "confidence"), "it can: random, left-to-right"),
        ("patch_ar", ("--trace", "page.html"), "has no page"),
        ("patch_ar", ("--template", "{{2}}x"), "fills no gap"),
    ],
)
def test_what_cannot_be_is_said(
    kind: str, arguments: tuple[str, ...], said: str, runs: dict[str, Path], isobyte
) -> None:
    code, _, err = isobyte("sample", str(runs[kind]), *arguments)
    assert code not in (0, 70)
    assert "Traceback" not in err
    assert re.search(said, " ".join(err.split()))


def test_there_is_no_checkpoint_for_others(runs: dict[str, Path], isobyte, tmp_path: Path) -> None:
    code, _, err = isobyte("export", str(runs["patch_ar"]), "--out", str(tmp_path / "out"))
    assert code != 0
    assert "whole patches" in " ".join(err.split())
