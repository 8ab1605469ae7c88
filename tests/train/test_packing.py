"""Training on rows of patches: the loss, the books, resuming, ranks, and a run of it."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from pydantic import ValidationError

from blt_models import blt
from isobyte.backbone.byte_ids import ids_of
from isobyte.config.data import DataConfig, FilesCorpus
from isobyte.config.run import RunConfig
from isobyte.cost.design import run_cost
from isobyte.data.patch_window import PatchRows, PatchWindows
from isobyte.data.prepare import prepare
from isobyte.data.prepared import Prepared
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.objective.ar import ar_question, padded_question
from isobyte.objective.base import cost_sum
from isobyte.representation.bytes_ import Bytes
from isobyte.train.loop import build_model, train
from isobyte.train.optim import build_optimizer
from isobyte.train.packing import Meter, part_of, training_windows
from isobyte.train.parallel import Ranks, join
from isobyte.train.runtime import Runtime
from isobyte.train.step import StepResult, train_step
from tiny import run_config, run_data

SHAPE = {"kind": "flat", "layers": 1, "width": 8, "heads": 2}
LOCAL = SHAPE | {"attention_window": 5}
STATIC, SPACE = {"kind": "static", "size": 3}, {"kind": "space", "mean_length": 3.0}
SCORER = {"kind": "flat", "shape": LOCAL, "train": run_data(steps=4)["train"]}
ENTROPY = {"kind": "entropy", "scorer": SCORER, "mean_length": 2.5}
RUNTIME = Runtime(device="cpu", threads=1, log_every=1)


def packed(patching: dict[str, Any] = STATIC, steps: int = 12, **more: Any) -> RunConfig:
    parts = {"encoder": LOCAL, "latent": SHAPE, "decoder": LOCAL, "hash_sizes": (3,), "hash_vocab": 97}
    plan = {"window": 40, "packing": "patches", "patches": 6} | more
    data = run_data(steps=steps, **plan) | {"backbone": {"kind": "blt", **parts, "patching": patching}}
    return RunConfig.model_validate(data)


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Words of three letters on average."""
    draw, letters = np.random.default_rng(7), list("abcdefghijklmno")
    words = ["".join(draw.choice(letters, draw.integers(1, 6))) for _ in range(5000)]
    (tmp_path / "words.txt").write_text(" ".join(words))
    data = DataConfig(corpus=FilesCorpus(paths=(str(tmp_path / "words.txt"),)), piece_bytes=1000)
    return prepare(data, packed().representation, tmp_path / "data")


def random_rows(seed: int, count: int, patches: int = 6) -> PatchRows:
    """Rows of patches of one to eleven bytes."""
    draw = np.random.default_rng(seed)
    opened = np.cumsum(draw.integers(1, 12, 300))
    bits = np.zeros(opened[-1], np.bool_)
    bits[[0, *opened[:-1]]] = True
    text = draw.integers(0, 256, len(bits)).astype(np.uint8).tobytes()
    windows = PatchWindows(Stream.of([text], Bytes()), lambda a, b: bits[a:b], patches=patches, longest=60, seed=seed)
    return windows.batch(0, count)


def tensors(rows: PatchRows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.from_numpy(rows.x_NT), torch.from_numpy(rows.length_N), torch.from_numpy(rows.starts)


@pytest.mark.parametrize("pools", ["last", "all"])
def test_a_padded_batch_costs_the_sum_of_its_rows_alone(pools: str) -> None:
    model = blt(encoder_cross_layers=pools).double()
    rows = random_rows(1, 9)
    assert len(set(rows.length_N.tolist())) > 4
    together = cost_sum(model, padded_question(*tensors(rows), model.vocab))
    together.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    alone = torch.zeros((), dtype=torch.float64)
    for row in range(9):
        one = rows.part(row, row + 1)
        assert one.x_NT.shape[1] == one.length_N[0]
        alone = alone + cost_sum(model, padded_question(*tensors(one), model.vocab))
    alone.backward()
    assert together.item() == pytest.approx(alone.item(), rel=1e-6)  # the softmax is in fp32
    assert found
    for name, p in model.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(found[name], p.grad, rtol=1e-4, atol=1e-5)


def test_what_stands_in_the_padding_does_not_matter() -> None:
    model, rows = blt(), random_rows(2, 5)
    x, length, starts = tensors(rows)
    other = torch.where(torch.arange(x.shape[1]) < length[:, None], x, 77)
    assert not torch.equal(other, x)
    with torch.no_grad():
        costs = [float(cost_sum(model, padded_question(each, length, starts, 256))) for each in (x, other)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-6)


def test_a_row_asks_what_its_own_patcher_would_have_asked() -> None:
    from isobyte.config.patching import StaticPatching

    model = blt(StaticPatching(size=3))
    bits = np.arange(300) % 3 == 0
    stream = Stream.of([bytes(range(250)) + bytes(50)], Bytes())
    rows = PatchWindows(stream, lambda a, b: bits[a:b], patches=4, longest=99, seed=0).batch(0, 25)
    x = torch.from_numpy(rows.x_NT)
    asked = padded_question(*tensors(rows), 256)
    assert torch.equal(model.patcher.starts(ids_of(asked.view.inputs)), torch.from_numpy(rows.starts))
    with torch.no_grad():
        assert float(cost_sum(model, asked)) == pytest.approx(float(cost_sum(model, ar_question(x, model))), rel=1e-6)


def weights_after(config: RunConfig, ranks: Ranks, steps: int = 4) -> dict[str, torch.Tensor]:
    model = build_model(config, 256)
    optimizer = build_optimizer(model, config.train.optimizer)
    mine = ranks.rows(config.train.batch)
    for step in range(steps):
        rows = part_of(random_rows(step, config.train.batch), mine.start, mine.stop)
        train_step(config, model, model, optimizer, rows, step, ranks)
    return model.state_dict()


def worker(rank: int, world: int, folder: str, config: RunConfig) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "localhost"}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=world)
    torch.save(weights_after(config, join()), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


CALM = {"lr": 0.01, "eps": 1e-3}


def test_micro_batches_and_ranks_change_nothing(tmp_path: Path) -> None:
    config = packed(optimizer=CALM)
    whole = weights_after(config, Ranks())
    mp.start_processes(worker, (2, str(tmp_path), config), nprocs=2, start_method="spawn")
    others = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    for other in (weights_after(packed(optimizer=CALM, micro_batch=1), Ranks()), *others):
        for name, value in whole.items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-6)


def test_the_loss_is_per_byte_of_the_global_batch() -> None:
    config, rows = packed(micro_batch=1), random_rows(5, 4)
    model = build_model(config, 256)
    outcome = train_step(config, model, model, build_optimizer(model, config.train.optimizer), rows, 0, Ranks())
    assert float(outcome.loss) == pytest.approx(np.log(256), rel=1e-5)  # the head is zero
    assert outcome.patches == 4 * 6
    assert rows.length_N.sum() < rows.x_NT.size


@pytest.mark.parametrize("patching", [STATIC, SPACE, ENTROPY], ids=lambda rule: rule["kind"])
def test_a_run_ends_with_its_books_in_order(tmp_path: Path, prepared: Prepared, patching: dict[str, Any]) -> None:
    config, told = packed(patching), []
    result = train(config, prepared, tmp_path / "run", runtime=RUNTIME, report=told.append)
    assert np.isfinite(result["likelihood"]["bpb"])
    found = {record["phase"] for record in told}
    assert {"patches", "train", "evaluate"} <= found
    model = build_model(config, 256)
    if patching is not ENTROPY:
        windows = training_windows(config, prepared, model, lambda _record: pytest.fail("bits are made once"))
        rows = windows.batch(0, 12 * 4)
        assert isinstance(rows, PatchRows)
        assert result["symbols"] == result["data_bytes"] == rows.length_N.sum()
        assert result["bytes_per_patch"] == pytest.approx(rows.length_N.sum() / rows.starts[:, 1:].sum())
    assert 2 < result["bytes_per_patch"] < 5


def test_a_step_costs_what_the_plan_says(tmp_path: Path, prepared: Prepared) -> None:
    config = packed()
    result = train(config, prepared, tmp_path / "run", runtime=RUNTIME)
    cost = run_cost(config)
    assert cost.window == 18
    assert cost.bytes_per_patch == 3
    assert cost.patches is not None
    assert cost.patches.count == 6
    assert result["flops"] == pytest.approx(12 * cost.per_step, rel=0.01)  # ends of documents have shorter patches
    cut = run_cost(packed(window=12))
    assert cut.window == 12
    assert cut.patches is not None
    assert cut.patches.count == 4


@pytest.mark.parametrize("packing", [{}, {"packing": "bytes", "patches": None}], ids=["patches", "bytes"])
def test_a_run_need_not_know_beforehand_how_long_patches_are(
    tmp_path: Path, prepared: Prepared, packing: dict[str, Any]
) -> None:
    rule = {"kind": "entropy", "scorer": {"kind": "ngram", "context": 1}, "threshold": 2.6}
    with pytest.raises(UserError, match="add mean_length"):
        run_cost(packed(rule, **packing))
    result = train(packed(rule, **packing), prepared, tmp_path / "run", runtime=RUNTIME)
    assert result["bytes_per_patch"] > 1
    assert result["flops_by_convention"]["exact"] == pytest.approx(result["flops"], rel=0.02)


def test_each_row_is_counted_at_its_own_length() -> None:
    config, rows = packed(), random_rows(3, 8)
    outcome = StepResult(torch.zeros(()), torch.zeros(()), 0.0, rows.x_NT.shape[1])
    meter = Meter(config, Bytes())
    whole = meter.used(rows, outcome)
    alone = [meter.used(rows.part(row, row + 1), outcome) for row in range(8)]
    assert whole.flops == pytest.approx(sum(each.flops for each in alone), rel=1e-12)
    assert whole.symbols == whole.bytes == rows.length_N.sum() < rows.x_NT.size


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, prepared: Prepared) -> None:
    config = packed(SPACE, steps=10)
    train(config, prepared, tmp_path / "whole", runtime=RUNTIME)

    def stop(record: dict[str, Any]) -> None:
        if record["phase"] == "train" and record["step"] == 6:
            raise InterruptedError

    every = Runtime(device="cpu", threads=1, log_every=1, checkpoint_seconds=0.0)
    with pytest.raises(InterruptedError):
        train(config, prepared, tmp_path / "halved", runtime=every, report=stop)
    result = train(config, prepared, tmp_path / "halved", runtime=RUNTIME)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "halved"))
    assert one == two
    expected = json.loads((tmp_path / "whole" / "result.json").read_text())
    for name in ("flops", "symbols", "data_bytes", "bytes_per_patch", "likelihood"):
        assert result[name] == expected[name]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: run_config(packing="patches", patches=4), "a flat network takes packing 'bytes'"),
        (lambda: packed(patches=None), "needs patches"),
        (lambda: packed(packing="bytes"), "patches is for packing 'patches'"),
        (lambda: packed(patches=41), "never fit in a window of 40 bytes"),
        (
            lambda: packed(
                ENTROPY | {"scorer": SCORER | {"train": SCORER["train"] | {"packing": "patches", "patches": 2}}}
            ),
            "a flat network takes packing 'bytes'",
        ),
    ],
    ids=["flat", "without", "bytes", "window", "scorer"],
)
def test_refusals(make: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        make()
