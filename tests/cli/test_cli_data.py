"""`isobyte data`: JSON on standard output, everything else beside it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from isobyte.cli.data import corpus_named, run_info, run_prepare
from isobyte.config.data import (
    DataConfig,
    FilesCorpus,
    HubCorpus,
    SotuCorpus,
    StdlibCorpus,
    SyntheticCorpus,
)
from isobyte.config.representation import BytesConfig
from isobyte.errors import UserError


def test_prepare_then_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = DataConfig(corpus=SyntheticCorpus(documents=20, document_bytes=100))
    run_prepare(data, BytesConfig(), tmp_path, as_json=True)
    made = capsys.readouterr()
    run_info(tmp_path, verify=True, as_json=True)
    told = capsys.readouterr()
    assert made.out == told.out
    found = json.loads(told.out)
    assert found["train"] == {"documents": 18, "bytes": 1800, "symbols": 1800, "bytes_per_symbol": 1.0}
    assert found["heldout"]["documents"] == 2
    assert found["data_hash"] == data.content_hash()
    assert "1,800" in told.err
    run_info(tmp_path)
    assert capsys.readouterr().out == ""


def test_info_with_reference_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = SyntheticCorpus(law="iid", weights=(1, 1), documents=20, document_bytes=1000)
    run_prepare(DataConfig(corpus=corpus), BytesConfig(), tmp_path)
    run_info(tmp_path, reference=True, as_json=True)
    found = json.loads(capsys.readouterr().out)["reference"]
    assert found["train"]["bytes"] == 18_000
    assert found["train"]["unigram"] == pytest.approx(1, abs=0.01)
    assert set(found["heldout"]) == {"bytes", "unigram", "bigram", "zstd", "xz", "ppmd"}


def test_info_about_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prepared data here"):
        run_info(tmp_path)


def test_corpora_by_name() -> None:
    assert corpus_named("sotu") == SotuCorpus()
    assert corpus_named("stdlib") == StdlibCorpus()
    assert corpus_named("hub:a/b", "body") == HubCorpus(name="a/b", column="body")
    assert corpus_named("some/*.jsonl") == FilesCorpus(paths=("some/*.jsonl",))


def test_the_module_is_light_and_data_needs_no_torch() -> None:
    program = (
        "import sys, isobyte.cli.data\n"
        "assert 'numpy' not in sys.modules\n"
        "import isobyte.data.prepare, isobyte.data.window, isobyte.data.reference, isobyte.representation.bpe\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
