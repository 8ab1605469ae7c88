"""Bad input gets one clear line and exit 2, and nothing is damaged."""

import json
import sys
from pathlib import Path

import pytest

from isobyte.cli import main as cli
from isobyte.files import write_json
from tiny import run_data, study_data


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `isobyte ...`."""
    monkeypatch.setattr(sys, "argv", ["isobyte", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["study", "plan", "quik"], "did you mean 'quick'"),
        (["study", "plan", "nowhere.toml"], "no such recipe file"),
        (["study", "plan", "quick", "grid.sizez=1"], "did you mean 'sizes'"),
        (["study", "plan", "quick", "designs.byte-ar.objective.kind=arr"], "did you mean 'ar'"),
        (["study", "plan", "quick", "designs.byte-arr.tied=true"], "did you mean 'byte-ar'"),
        (["study", "plan", "quick", "budgets=[1e5]"], "pays for no step"),
        (["study", "plan", "quick", 'grid.sizes=["w50"]', "grid.centre={}"], "does not divide into"),
        (["study", "plan", "quick", "budgets"], "write key.path=value"),
        (["study", "rum"], "did you mean 'study run'"),
        (["trian"], "did you mean 'train'"),
        (["train", "byte-ar", "backbone.heads=3", "--out", "x"], "does not divide into 3 heads"),
        (["train", "byte-ar", "train.step=3", "--out", "x"], "did you mean 'steps'"),
        (["train", "byte-ar", 'data.corpus={"kind":"files","paths":["/no/such"]}', "--out", "x"], "/no/such"),
        (["eval", "nowhere"], "holds no run"),
        (["study", "status", "nowhere"], "holds no study"),
    ],
)
def test_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(monkeypatch, capsys, *arguments)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1, err
    assert not out


def test_a_corpus_smaller_than_a_window(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "small.txt").write_text("too small " * 6)
    data = run_data() | {"data": {"corpus": {"kind": "files", "paths": [str(tmp_path / "small.txt")]}}}
    data["train"]["window"] = 64
    write_json(tmp_path / "run.json", data)
    code, _, err = call(monkeypatch, capsys, "train", str(tmp_path / "run.json"), "--out", str(tmp_path / "run"))
    assert code == 2
    assert "a window has 64" in err


def test_a_study_folder_of_another_study(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_json(out / "study.json", study_data())
    write_json(tmp_path / "other.json", study_data(budgets=(5e7,)))
    code, _, err = call(monkeypatch, capsys, "study", "run", str(tmp_path / "other.json"), "--out", str(out))
    assert code == 2
    assert "holds study tiny" in err
    assert json.loads((out / "study.json").read_text()) == study_data()


def test_a_full_disk_is_the_users_to_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.fail("this test needs /dev/full")
    write_json(tmp_path / "run.json", run_data())
    (tmp_path / "run").mkdir()
    monkeypatch.setattr("isobyte.train.folder.write_json", lambda *_: full.open("wb", buffering=0).write(b"x"))
    code, _, err = call(monkeypatch, capsys, "train", str(tmp_path / "run.json"), "--out", str(tmp_path / "run"))
    assert code == 2
    assert "disk is full" in err


def test_help_does_not_import_torch() -> None:
    import subprocess

    for arguments in (["--help"], ["study", "run", "--help"], ["study", "plan", "quick"], ["cost", "quick"]):
        script = f"import sys; sys.argv = ['isobyte', *{arguments!r}]\nfrom isobyte.cli.main import main\n"
        script += "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules, 'torch was imported'"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
