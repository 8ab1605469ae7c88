"""`isobyte import` and `isobyte export`, as they are typed."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BltForCausalLM

from blt_theirs import texts, their_logits, theirs
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.flat import FlatModel
from isobyte.backbone.mask import CAUSAL
from isobyte.cli import main as cli
from isobyte.config.backbone import BltConfig
from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.evaluate.loaded import load_run
from isobyte.representation import build, save
from isobyte.train.checkpoint import save_weights
from isobyte.train.folder import RunFolder
from isobyte.train.loop import build_model, train
from isobyte.train.runtime import Runtime
from tiny import run_config, run_data

NEAR = {"rtol": 0, "atol": 1e-4}


def isobyte(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["isobyte", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def loaded(path: Path) -> BltModel:
    model = load_run(path, "cpu", 1).model
    assert isinstance(model, BltModel)
    return model.eval()


@torch.no_grad()
def logits(path: Path) -> torch.Tensor:
    model = loaded(path)
    return model.id_logits(model.hidden(texts()))


def same(first: Path, second: Path) -> bool:
    ours, others = load_file(first), load_file(second)
    equal = (torch.allclose(ours[name], others[name], 0, 0, equal_nan=True) for name in ours)
    return ours.keys() == others.keys() and all(equal)


@pytest.fixture(scope="module")
def model() -> BltForCausalLM:
    return theirs("projected, grouped")


@pytest.fixture
def checkpoint(model: BltForCausalLM, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


@pytest.fixture
def imported(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert isobyte(monkeypatch, "import", checkpoint, "--out", tmp_path / "run") == 0
    return tmp_path / "run"


def test_an_imported_run_has_their_logits(model: BltForCausalLM, imported: Path) -> None:
    torch.testing.assert_close(logits(imported), their_logits(model, texts()), **NEAR)


def test_a_checkpoint_in_half_precision_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs("as released").bfloat16().save_pretrained(tmp_path / "theirs")
    model = BltForCausalLM.from_pretrained(tmp_path / "theirs", dtype=torch.float32).eval()
    assert isobyte(monkeypatch, "import", tmp_path / "theirs", "--out", tmp_path / "run") == 0
    torch.testing.assert_close(logits(tmp_path / "run"), their_logits(model, texts()), **NEAR)
    assert isobyte(monkeypatch, "export", tmp_path / "run", "--out", tmp_path / "there") == 0
    assert same(tmp_path / "there" / "model.safetensors", tmp_path / "theirs" / "model.safetensors")


@pytest.mark.parametrize("kind", ["transformers", "official"])
def test_export_and_import_give_the_run_back_bit_for_bit(
    kind: str, imported: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    if kind == "official":
        assert isobyte(monkeypatch, "export", imported, "--out", there, "--format", kind) == 0
        names = set(load_file(there / "model.safetensors"))
        assert {f"encoder_hash_tok_embedding.{n}.weight" for n in range(6)} < names
        assert not any(name.startswith("patcher") for name in names)
        assert "tok_embeddings.weight" in load_file(there / "entropy_model" / "consolidated.safetensors")
    else:
        assert isobyte(monkeypatch, "export", imported, "--out", there) == 0
        assert same(there / "model.safetensors", checkpoint / "model.safetensors")
    assert isobyte(monkeypatch, "import", there, "--out", back) == 0
    assert same(back / "model.safetensors", imported / "model.safetensors")
    first, second = (json.loads((path / "config.json").read_text()) for path in (imported, back))
    assert first["backbone"] == second["backbone"]
    assert first["train"] == second["train"]


def test_an_exported_run_is_transformers_model(
    model: BltForCausalLM, imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert isobyte(monkeypatch, "export", imported, "--out", tmp_path / "there", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["notes"] == []
    made: Any = BltForCausalLM.from_pretrained(
        tmp_path / "there", output_loading_info=True, attn_implementation="eager"
    )
    again, told = made
    assert not any(told.values())
    assert again.config.use_cache is False
    assert torch.equal(their_logits(again.eval(), texts()), their_logits(model, texts()))


def test_a_sharded_checkpoint_is_read_whole(
    model: BltForCausalLM, imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    shards = sorted((tmp_path / "shards").glob("model-*.safetensors"))
    assert len(shards) > 2
    assert isobyte(monkeypatch, "import", tmp_path / "shards", "--out", tmp_path / "again") == 0
    assert same(tmp_path / "again" / "model.safetensors", imported / "model.safetensors")
    shards[1].unlink()
    assert isobyte(monkeypatch, "import", tmp_path / "shards", "--out", tmp_path / "third") == 2
    assert not (tmp_path / "third").exists()


def test_tensors_that_do_not_fit_are_all_named_and_nothing_is_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    del weights["model.local_decoder.norm.weight"]
    weights["model.extra"] = torch.zeros(1)
    weights["lm_head.weight"] = torch.zeros(256, 32)
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    assert isobyte(monkeypatch, "import", checkpoint, "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err
    for part in ("model.local_decoder.norm.weight", "model.extra", "lm_head.weight (256, 32), not (260, 32)"):
        assert part in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "consolidated.pth")


def _torn(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def _nothing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _torn_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _odd_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"encoder_config": [1]}))


def _llama(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}')


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(_pickled, "pickles"), (_torn, "damaged"), (_nothing, "no weights"), (_no_config, "no config.json"),
     (_torn_config, "no JSON"), (_odd_config, "config is whole"), (_llama, "model_type = 'llama'")],
    ids=["pickled", "torn", "nothing", "no-config", "torn-config", "odd-config", "llama"],
)  # fmt: skip
def test_bad_checkpoints_are_told_in_one_line(
    spoil: Any, said: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    spoil(checkpoint)
    assert isobyte(monkeypatch, "import", checkpoint, "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_released_checkpoint_takes_its_entropy_model_from_elsewhere(
    imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there, scorer = tmp_path / "there", tmp_path / "scorer"
    assert isobyte(monkeypatch, "export", imported, "--out", there, "--format", "official") == 0
    (there / "entropy_model").rename(scorer)
    assert isobyte(monkeypatch, "import", there, "--out", tmp_path / "none") == 2
    assert "--patcher" in capsys.readouterr().err
    turns = load_file(scorer / "consolidated.safetensors") | {"rope.freqs_cis": torch.zeros(9)}
    save_file(turns, scorer / "consolidated.safetensors")
    words = ("import", there, "--out", tmp_path / "back", "--patcher", scorer, "--json")
    assert isobyte(monkeypatch, *words) == 0
    assert "patcher.rope.freqs_cis is left out" in json.loads(capsys.readouterr().out.splitlines()[-1])["notes"][0]
    assert same(tmp_path / "back" / "model.safetensors", imported / "model.safetensors")


def test_the_text_of_an_imported_run_is_not_known(
    imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isobyte(monkeypatch, "eval", imported) == 2
    assert "--data" in capsys.readouterr().err
    text = tmp_path / "text"
    text.write_bytes(b"some text \xff\x00 that is no UTF-8 " * 9)
    assert isobyte(monkeypatch, "eval", imported, "--data", text, "--json") == 0
    assert 4 < json.loads(capsys.readouterr().out.splitlines()[-1])["bpb"] < 16


def test_export_leaves_a_folder_that_holds_something_alone(
    imported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (imported / "config.json").read_bytes()
    assert isobyte(monkeypatch, "export", imported, "--out", imported) == 2
    assert "not empty" in capsys.readouterr().err
    assert (imported / "config.json").read_bytes() == before


FLAT = {"kind": "flat", "layers": 1, "width": 16, "heads": 2}
BLT = {
    "kind": "blt", "encoder": FLAT, "decoder": FLAT, "latent": FLAT, "hash_vocab": 31,
    "patching": {"kind": "byte"}, "latents": 2,
}  # fmt: skip


@pytest.mark.parametrize("residual", ["single", "doubled"])
@pytest.mark.parametrize("document_mask", [True, False])
def test_of_a_run_trained_here_the_special_ids_are_silenced(
    document_mask: bool,
    residual: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = RunConfig.model_validate(
        run_data() | {"backbone": BLT | {"document_mask": document_mask, "cross_residual": residual}}
    )
    run, there = tmp_path / "run", tmp_path / "there"
    assert isinstance(config.backbone, BltConfig)
    torch.manual_seed(4)
    save_weights(RunFolder.create(run, config).weights, BltModel(config.backbone), {})
    save(build(config.representation), run / "representation")
    assert isobyte(monkeypatch, "export", run, "--out", there, "--json") == 0
    notes = json.loads(capsys.readouterr().out.splitlines()[-1])["notes"]
    assert any("ends of sequences" in note for note in notes) == document_mask
    assert any("adds its input twice" in note for note in notes) == (residual == "single")
    assert "byte 0xFF" in notes[-1]
    expected, got = logits(run), their_logits(BltForCausalLM.from_pretrained(there).eval(), texts())
    torch.testing.assert_close(got[..., 4:], expected[..., 4:], **NEAR)
    torch.testing.assert_close(got[..., :4], expected[..., 259:].expand(-1, -1, 4), **NEAR)


@pytest.mark.parametrize("kind", ["transformers", "official"])
def test_of_a_run_with_blocks_the_model_that_goes_byte_by_byte_is_written(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the user is told what is left out; where the text itself goes into the decoder another way it is refused."""
    scorer = {"kind": "flat", "shape": FLAT | {"attention_window": 8}}
    local = FLAT | {"attention_window": 8}
    backbone = BLT | {
        "encoder": local, "decoder": local, "patching": {"kind": "entropy", "threshold": 1.0, "scorer": scorer},
        "cross_residual": "doubled", "document_mask": False,
    }  # fmt: skip
    run, there = tmp_path / "run", tmp_path / "there"
    config = RunConfig.model_validate(run_data("blt_diffusion") | {"backbone": backbone})
    torch.manual_seed(4)
    made = build_model(config, 256)
    assert isinstance(made, BltModel)
    assert {"decoder.embedding.weight", "decoder.mask"} < made.state_dict().keys()
    save_weights(RunFolder.create(run, config).weights, made, {})
    save(build(config.representation), run / "representation")
    assert isobyte(monkeypatch, "export", run, "--out", there, "--format", kind, "--json") == 0
    notes = json.loads(capsys.readouterr().out.splitlines()[-1])["notes"]
    (said,) = [note for note in notes if "left out" in note]
    assert said.startswith("decoder.embedding.weight and decoder.mask are left out")
    assert "objective blt_diffusion" in said
    assert isobyte(monkeypatch, "import", there, "--out", tmp_path / "back") == 0, "nothing is left over"
    torch.testing.assert_close(logits(tmp_path / "back")[..., 4:], logits(run)[..., 4:], **NEAR)
    if kind == "transformers":
        got = their_logits(BltForCausalLM.from_pretrained(there).eval(), texts())
        torch.testing.assert_close(got[..., 4:], logits(run)[..., 4:], **NEAR)
    given = RunConfig.model_validate(
        run_data("blt_diffusion") | {"backbone": backbone | {"decoder_input": "embedding"}}
    )
    other = tmp_path / "other"
    save_weights(RunFolder.create(other, given).weights, build_model(given, 256), {})
    save(build(given.representation), other / "representation")
    capsys.readouterr()
    assert isobyte(monkeypatch, "export", other, "--out", tmp_path / "none", "--format", kind) == 2
    assert "decoder_input = 'embedding'" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_flat_run_becomes_a_llama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, run = run_config("ar"), tmp_path / "run"
    train(config, prepare(config.data, config.representation, tmp_path / "data"), run, runtime=Runtime(threads=1))
    assert isobyte(monkeypatch, "export", run, "--out", tmp_path / "there") == 0
    llama = AutoModelForCausalLM.from_pretrained(tmp_path / "there").eval()
    ours = load_run(run, "cpu", 1).model
    assert isinstance(ours, FlatModel)
    ids = torch.randint(256, (2, 16), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = 256
    with torch.no_grad():
        expected, got = ours.logits(ours(ids, CAUSAL)), llama(ids).logits
    torch.testing.assert_close(got[..., :256], expected, **NEAR)
    assert isobyte(monkeypatch, "export", run, "--out", tmp_path / "other", "--format", "official") == 2
