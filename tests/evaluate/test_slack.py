"""The slack of finished runs, by the command and by hand."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isobyte.backbone.half import Weights
from isobyte.cli import main as cli
from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.errors import UserError
from isobyte.evaluate import bpb, slack
from isobyte.evaluate.bpb import evaluate_run
from isobyte.evaluate.loaded import LoadedRun, load_run
from isobyte.evaluate.slack import Rate, Slack, run_slack
from isobyte.likelihood.mixture import ask_log_probs, mixture_nats, order_costs
from isobyte.objective.base import network_log_probs
from isobyte.objective.network import Model
from isobyte.objective.permutation import HELD_OUT, carried_log_probs, reading_of
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

RUNS: dict[str, dict[str, Any]] = {
    "masked": {"objective": {"kind": "masked"}},
    "masked-carried": {"objective": {"kind": "masked"}, "permutation": {"kind": "window", "carry": True}},
    "block": {"objective": {"kind": "block", "block": 4}},
    "block-fresh": {
        "objective": {"kind": "block", "block": 4}, "permutation": {"kind": "nearby", "fresh": True, "width": 8}
    },
    "any_order": {"objective": {"kind": "any_order"}},
    "span": {"objective": {"kind": "span", "spans": {"kind": "fixed", "length": 3}}},
    "eso": {"objective": {"kind": "eso"}},
    "ar": {"objective": {"kind": "ar"}},
    "words": {"objective": {"kind": "span", "spans": {"kind": "word"}}},
}  # fmt: skip
BOUNDS = [name for name in RUNS if name not in ("ar", "words")]


def opinionated(model: Model) -> None:
    """Other weights, under which it matters what is asked in which order, and where it stands."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 1.2 / math.sqrt(weight.shape[1]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """A run of each, trained when first asked for."""
    folder = tmp_path_factory.mktemp("slack")

    def run(name: str) -> Path:
        if not (folder / name).exists():
            config = RunConfig.model_validate(run_data(steps=2) | RUNS[name])
            prepared = prepare(config.data, config.representation, folder / "data")
            train(config, prepared, folder / name, runtime=Runtime(threads=1))
        return folder / name

    return run


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path, device: str = "auto", *, weights: Weights = "fp32") -> LoadedRun:
        run = load_run(path, device, weights=weights)
        opinionated(run.model)
        return run

    monkeypatch.setattr(slack, "load_run", load)
    monkeypatch.setattr(bpb, "load_run", load)


TEXT = bytes((place * place) % 31 for place in range(330))


def measured(path: Path, **named: Any) -> Slack:
    return run_slack(path, device="cpu", **{"data": text_of(path), "orders": 8, "passes": 64, **named})


def text_of(path: Path) -> Path:
    """Beside the run."""
    (path.parent / "text").write_bytes(TEXT)
    return path.parent / "text"


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("name", BOUNDS)
def test_the_bound_is_that_of_single_orders_and_mixtures_lie_below(name: str, trained) -> None:
    found = measured(trained(name), passes=2 if name == "any_order" else 256)
    assert found.windows == 21, "the last window is shorter"
    single = found.mixture[1].rate
    scored = evaluate_run(
        trained(name), data=text_of(trained("masked")), device="cpu", passes=2 if name == "any_order" else 256
    )
    assert found.bound.bpb == pytest.approx(scored.bpb, rel=1e-5)
    assert found.bytes == scored.bytes
    spread = found.mixture[8].below.stderr
    assert spread is not None
    assert abs(single.bpb - scored.bpb) < 4 * math.hypot(scored.stderr, spread)
    values = [found.mixture[orders].rate.bpb for orders in (1, 2, 4, 8)]
    assert (np.diff(values) < 0).all()
    assert found.at_least.bpb == pytest.approx(values[0] - values[-1])
    assert found.at_least.bpb > 4 * spread, "opinions differ between orders"


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("name", ["masked-carried", "block-fresh"])
def test_orders_are_of_what_the_network_reads(name: str, trained) -> None:
    """Told of places as the estimators tell it, by the numbers of the windows."""
    run = slack.load_run(trained(name), "cpu")
    reading, read = reading_of(run.config), []
    assert reading is not None
    x_WT = torch.tensor(list(TEXT[:320])).view(20, 16)
    for number, x_T in enumerate(x_WT):
        read.append(reading.read(x_T[None], HELD_OUT, np.array([number])))
    ask = ask_log_probs(carried_log_probs(network_log_probs(run.model), reading, 16))
    with torch.inference_mode():
        costs = order_costs(ask, run.config.objective, torch.cat(read), 8, seed=0, first=0, vocab=256).numpy()
    (text := trained(name).parent / "whole").write_bytes(TEXT[:320])
    found = measured(trained(name), data=text)
    for orders in (1, 4, 8):
        wanted = mixture_nats(costs, orders).sum() / math.log(2) / 320
        assert found.mixture[orders].rate.bpb == pytest.approx(wanted, rel=1e-5)


@pytest.mark.usefixtures("loud")
def test_rules_are_scored_on_the_same_windows(trained) -> None:
    found = measured(trained("masked"))
    assert set(found.duel) == {"left_to_right", "confidence", "margin", "entropy"}
    for rule, each in found.duel.items():
        scored = evaluate_run(
            trained("masked"), data=text_of(trained("masked")), device="cpu", estimator=f"duel:{rule}"
        )
        assert each.rate.bpb == pytest.approx(scored.bpb, rel=1e-5)
        assert each.rate.stderr == pytest.approx(scored.stderr_text, rel=1e-5)
        assert each.below.bpb == pytest.approx(found.mixture[1].rate.bpb - each.rate.bpb)


@pytest.mark.usefixtures("loud")
def test_what_mixes_orders_itself_is_looser_only_than_more_of_them(trained) -> None:
    """The own bound of any order mixes half as many orders as it has passes."""
    found = measured(trained("any_order"), passes=8)
    assert found.mixture[4].below.bpb == pytest.approx(0, abs=1e-12)
    assert found.mixture[1].below.bpb < 0 < found.at_least.bpb
    assert abs(found.bound.bpb - found.mixture[4].rate.bpb) < 4 * found.at_least.bpb
    assert max(measured(trained("any_order"), passes=16).mixture) == 16


@pytest.mark.usefixtures("loud")
def test_the_text_has_a_say_only_through_its_symbols(trained, tmp_path: Path) -> None:
    """The seed decides about orders."""
    (tmp_path / "text").write_bytes(bytes(range(32)) * 2)
    one, same, other = (measured(trained("masked"), data=tmp_path / "text", seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert one.mixture != other.mixture
    assert one.duel["confidence"].rate == other.duel["confidence"].rate
    assert one.bytes == 64


def test_rates() -> None:
    found = Rate.of(np.array([2.0, 4.0, 6.0]) * math.log(2), np.array([1, 2, 3]))
    assert found.bpb == pytest.approx(2)
    assert found.stderr == pytest.approx(0)
    found = Rate.of(np.array([1.0, 3.0]) * math.log(2), np.array([1, 1]))
    assert (found.bpb, found.stderr) == (pytest.approx(2), pytest.approx(1))
    assert Rate.of(np.array([1.0]), np.array([4])).stderr is None


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["isobyte", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, " ".join(err.split())


def test_the_command(trained, monkeypatch, capsys) -> None:
    run = trained("masked")
    code, out, err = call(
        monkeypatch, capsys, "eval", run, "--slack", "--max-bytes", "100", "--device", "cpu", "--json"
    )
    assert code == 0
    found = json.loads(out.splitlines()[-1])
    assert [each["orders"] for each in found["mixture"]] == [1, 2, 4, 8, 16, 32]
    assert set(found["mixture"][0]) == {"orders", "bpb", "stderr", "below", "below_stderr"}
    assert found["slack"] == {"at_least": found["mixture"][-1]["below"], "stderr": found["mixture"][-1]["below_stderr"]}
    assert set(found["duel"]["margin"]) == {"bpb", "stderr", "below", "below_stderr"}
    assert f"slack of the bound: at least {found['slack']['at_least']:.4f}" in err
    assert "exact, another decoder" in err
    code, _, err = call(monkeypatch, capsys, "eval", run, "--slack", "--estimator", "t-steps", "--device", "cpu")
    assert code == 2
    assert "name no estimator" in err


@pytest.mark.parametrize(
    ("name", "named", "message"),
    [
        ("ar", {}, "has an exact likelihood, and no slack"),
        ("words", {}, "in no order that is drawn blind to the text"),
        ("masked", {"orders": 1}, "1 orders make no mixture"),
        ("masked", {"passes": 3}, "3 passes"),
    ],
    ids=["ar", "words", "orders", "passes"],
)
def test_what_cannot_be_asked_is_refused(name: str, named: dict[str, Any], message: str, trained) -> None:
    with pytest.raises(UserError, match=message):
        measured(trained(name), **named)


@pytest.mark.usefixtures("loud")
def test_a_single_window_has_no_error_bar(trained, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a short one")
    found = measured(trained("masked"), data=tmp_path / "text").to_json()
    assert found["slack"]["stderr"] is None
    assert found["windows"] == 1
    json.dumps(found, allow_nan=False)
