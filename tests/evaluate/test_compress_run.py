"""Files by trained runs: the right bytes or none, and a clear line for whatever stands in the way."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.errors import UserError
from isobyte.evaluate import compress as module
from isobyte.evaluate.bpb import evaluate_run
from isobyte.evaluate.compress import Wishes, compress, cost, decompress, threads
from isobyte.evaluate.loaded import load_run
from isobyte.likelihood.codec_file import Environment, pack, unpack
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

TEXT = (np.random.default_rng(0).zipf(1.5, 700) % 32).astype(np.uint8).tobytes()


def trained(path: Path, **changed: object) -> Path:
    config = RunConfig.model_validate(run_data() | changed)
    prepared = prepare(config.data, config.representation, path.parent / f"{path.name}-data")
    train(config, prepared, path, runtime=Runtime(threads=1))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("ar") / "run")


@pytest.fixture(scope="module")
def packed(run: Path) -> bytes:
    return compress(load_run(run, "cpu"), TEXT)[0]


@pytest.mark.parametrize("data", [b"", b"\xff", TEXT, bytes(range(256)) * 2, "Ω".encode() * 9], ids=len)
def test_round_trip_and_size(run: Path, data: bytes) -> None:
    packed, record = compress(load_run(run, "cpu"), data)
    back, _ = decompress(run, packed, where="x")
    assert back == data
    length = record["code_length_bits"] / 8
    assert abs(len(packed) - length) <= 0.005 * length + 64
    assert record["bytes_out"] == len(packed)
    alone = cost(load_run(run, "cpu"), data)
    assert alone["code_length_bits"] == record["code_length_bits"]
    assert unpack(packed, "x")[0].bits == np.ceil(length * 8)


def test_the_code_length_is_what_eval_says(run: Path, tmp_path: Path) -> None:
    """Where the model thinks nothing of the text impossible."""
    (tmp_path / "text").write_bytes(TEXT)
    scored = evaluate_run(run, data=tmp_path / "text", device="cpu")
    record = cost(load_run(run, "cpu"), TEXT)
    assert record["model_bits"] / 8 == pytest.approx(scored.nats / np.log(2) / 8, rel=1e-5)
    assert record["bpb"] == pytest.approx(scored.bpb, rel=1e-4)


@pytest.mark.parametrize(
    ("objective", "wishes"),
    [
        ({"kind": "masked"}, Wishes(rule="confidence", per_step=4)),
        ({"kind": "digits", "digits": 2}, Wishes(unit="digit", per_step=4)),
    ],
    ids=["masked", "digits"],
)
def test_symbols_of_many_bytes(objective: dict[str, object], wishes: Wishes, tmp_path: Path) -> None:
    """Bytes that no text holds among text, as BPE; what the header says of the way is enough to go back."""
    bpe = {"kind": "bpe", "vocab_size": 300}
    run = trained(tmp_path / "run", objective=objective, representation=bpe)
    data = TEXT[:150] + b"\xff\xfe\0 and \xc3" + TEXT[150:200]
    packed, record = compress(load_run(run, "cpu"), data, wishes)
    assert unpack(packed, "x")[0].symbols < len(data)
    assert decompress(run, packed, where="x")[0] == data
    assert abs(len(packed) - record["code_length_bits"] / 8) <= 0.005 * record["code_length_bits"] / 8 + 64


def test_another_process_with_other_threads(run: Path, tmp_path: Path) -> None:
    """The recorded number of threads is set, whatever the process started with."""
    for count, others in ((1, "2"), (2, "1")):
        with threads(count):
            (tmp_path / "packed").write_bytes(compress(load_run(run, "cpu"), TEXT[:100])[0])
        arguments = ["decompress", str(run), str(tmp_path / "packed"), str(tmp_path / "back")]
        command = [sys.executable, "-m", "isobyte.cli.main", *arguments]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": others})
        assert (tmp_path / "back").read_bytes() == TEXT[:100]
        (tmp_path / "back").unlink()


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_another_model_is_refused(packed: bytes, tmp_path: Path) -> None:
    other = trained(tmp_path / "other", train={"window": 16, "batch": 4, "steps": 3, "optimizer": {"lr": 0.02}})
    digest = unpack(packed, "x")[0].model.hex()
    with pytest.raises(UserError, match=digest):
        decompress(other, packed, where="x")
    with pytest.raises(UserError, match=digest):
        decompress(other, packed, where="x", force=True)


@pytest.mark.parametrize("changed", [{"torch": (1, 0, 0)}, {"capability": "VSX"}, {"build": 1}], ids=str)
def test_another_environment_is_refused_unless_forced(
    run: Path, packed: bytes, changed: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = module.environment_here

    def elsewhere(device: torch.device) -> Environment:
        return dataclasses.replace(here(device), **changed)

    monkeypatch.setattr(module, "environment_here", elsewhere)
    with pytest.raises(UserError, match=r"was written with .*--force"):
        decompress(run, packed, where="x")
    data, record = decompress(run, packed, where="x", force=True)
    assert data == TEXT
    assert record["forced"]


def test_arithmetic_that_differs_writes_nothing(run: Path, packed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative change of 1e-6 in the logits stands for another machine's sums."""
    from isobyte.backbone.flat import FlatModel

    logits = FlatModel.logits
    monkeypatch.setattr(FlatModel, "logits", lambda self, h: logits(self, h) * (1 + 1e-6))
    with pytest.raises(UserError, match="comes out other than it went in"):
        decompress(run, packed, where="x", force=True)


def test_a_forged_checksum_does_not_help(run: Path, packed: bytes) -> None:
    """Whatever a damaged file says of itself, the digest of the text decides."""
    header, payload = unpack(packed, "x")
    for place in range(0, len(payload), 97):
        wrong = bytearray(payload)
        wrong[place] ^= 1
        with pytest.raises(UserError):
            decompress(run, pack(header, bytes(wrong)), where="x")
    for changed in ({"symbols": header.symbols - 1}, {"raw_bytes": 1}, {"digest": b"12345678"}):
        with pytest.raises(UserError, match="comes out other"):
            decompress(run, pack(dataclasses.replace(header, **changed), payload), where="x")
