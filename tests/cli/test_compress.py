"""`isobyte compress`, `decompress` and `bench compress`, as they are typed."""

import json
import sys
from pathlib import Path

import pytest

from isobyte.cli import main as cli
from isobyte.data.prepare import prepare
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_config

TEXT = b"some text \xff\x00 that is no UTF-8 " * 9


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config, path = run_config("masked"), tmp_path_factory.mktemp("cli") / "run"
    train(config, prepare(config.data, config.representation, path.parent / "data"), path, runtime=Runtime(threads=1))
    return path


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_bytes(TEXT)
    return path


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["isobyte", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


def test_there_and_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: Path, text: Path
) -> None:
    packed, back = text.with_name("packed"), text.with_name("back")
    code, out, _ = call(monkeypatch, capsys, "compress", run, text, packed, "--rule", "margin", "--json")
    record = json.loads(out.splitlines()[-1])
    assert code == 0
    assert record["bytes_in"] == len(TEXT)
    assert record["bytes_out"] == packed.stat().st_size
    assert record["ratio"] == record["bytes_out"] / len(TEXT)
    assert record["bpb"] == record["code_length_bits"] / len(TEXT)
    assert record["bytes_per_second"] > 0
    assert 0 < record["overhead"] < 1
    code, out, _ = call(monkeypatch, capsys, "decompress", run, packed, back, "--json")
    assert code == 0
    assert json.loads(out)["bytes_out"] == len(TEXT)
    assert back.read_bytes() == TEXT
    code, out, err = call(monkeypatch, capsys, "compress", run, text, "--rule", "margin", "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["code_length_bits"] == record["code_length_bits"]
    assert "BPB = " in err
    assert {path.name for path in text.parent.iterdir()} == {"text", "packed", "back"}


def test_bad_input_is_one_line_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: Path, text: Path
) -> None:
    packed, back = text.with_name("packed"), text.with_name("back")
    call(monkeypatch, capsys, "compress", run, text, packed)
    whole = packed.read_bytes()
    for damaged, says in (
        (whole[:-9], "is cut off"),
        (whole[:-9] + b"?" + whole[-8:], "is damaged"),
        (TEXT, "is not a"),
    ):
        packed.write_bytes(damaged)
        code, out, err = call(monkeypatch, capsys, "decompress", run, packed, back)
        assert (code, out) == (2, "")
        assert says in err
        assert len(err.strip().splitlines()) == 1, err
        assert not back.exists()
    for arguments, says in (
        (["compress", run, "nowhere", back], "cannot be read"),
        (["compress", "nowhere", text, back], "holds no run"),
        (["compress", run, text], "no file to write"),
        (["compress", run, text, back, "--unit", "digit"], "has no digits"),
        (["bench", "compress", "--data", "nowhere"], "cannot be read"),
    ):
        code, out, err = call(monkeypatch, capsys, *arguments)
        assert (code, out) == (2, "")
        assert says in err
        assert not back.exists()


def test_bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: Path, text: Path) -> None:
    """In processes of their own, so this also decodes in another one."""
    code, out, _ = call(monkeypatch, capsys, "bench", "compress", run, "--data", text, "--json")
    record = json.loads(out.splitlines()[-1])
    assert code == 0
    rows = {row["name"]: row for row in record["compressors"]}
    assert list(rows) == ["gzip -9", "xz -9e", "zstd -19", "brotli -11", "PPMd -o16", "run"]
    for row in rows.values():
        assert row["bpb"] == 8 * row["bytes_out"] / len(TEXT)
        assert row["seconds"]["decompress"] > 0
        assert row["peak_memory"] > 1e6
    assert rows["run"]["bytes_out"] <= 1.005 * rows["run"]["code_length_bits"] / 8 + 64
    assert rows["gzip -9"]["peak_memory"] < rows["run"]["peak_memory"], "no torch in the processes of the others"
    assert record["torch"]
