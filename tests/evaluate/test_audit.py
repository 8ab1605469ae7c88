"""An audit passes honest models, shows what is no likelihood, and fails models that see what they are asked."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from isobyte.backbone.mask import Ranked
from isobyte.cli import audit as command
from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.evaluate import kraft
from isobyte.evaluate.audit import Audit, audit_run
from isobyte.likelihood import digits
from isobyte.objective import masked, training
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

OBJECTIVES: dict[str, dict[str, Any]] = {
    "ar": {"kind": "ar"},
    "masked": {"kind": "masked"},
    "span": {"kind": "span", "spans": {"kind": "geometric"}},
    "words": {"kind": "span", "spans": {"kind": "word"}},
    "block": {"kind": "block", "block": 4},
    "any_order": {"kind": "any_order"},
    "eso": {"kind": "eso", "alpha0": 0.5},
    "digits": {"kind": "digits", "loss": "joint"},
    "blt_diffusion": {"kind": "blt_diffusion", "block": 3},
}
LOCAL = {"layers": 1, "width": 16, "heads": 2, "attention_window": 6}
PATCHED = {"kind": "blt", "encoder": LOCAL, "decoder": LOCAL, "latent": LOCAL, "hash_sizes": [2], "hash_vocab": 50}
RULE = {"kind": "entropy", "mean_length": 3, "scorer": {"kind": "ngram", "context": 1}}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """A run of each objective, trained when first asked for."""
    folder = tmp_path_factory.mktemp("audited")

    def run(name: str) -> Path:
        data = run_data(steps=80) | {"objective": OBJECTIVES[name]}
        if name == "blt_diffusion":
            data["backbone"] = PATCHED | {"patching": RULE}
        config = RunConfig.model_validate(data)
        train(config, prepare(config.data, config.representation, folder / "data"), folder / name, runtime=RUNTIME)
        return folder / name

    return run


RUNTIME = Runtime(threads=1)


def verdicts(found: Audit, name: str) -> list[bool | None]:
    return [check.passed for check in found.checks if check.name == name]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_honest_models_pass(name: str, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    if name not in ("masked", "words"):
        monkeypatch.setattr(kraft, "MOST_WINDOWS", 256)  # windows of two symbols take ten seconds and more
    found = audit_run(trained(name), max_bytes=1500)
    assert found.passed, [check for check in found.checks if check.passed is False]
    assert found.likelihood.is_likelihood
    assert True in verdicts(found, "Kraft sum")
    assert verdicts(found, "codec") == [True]
    assert verdicts(found, "leakage") == ([None] if name == "words" else [True])
    json.dumps(found.to_json(), allow_nan=False)


def test_the_published_number_of_digits_stands_beside_the_bound_and_is_no_likelihood(trained) -> None:
    found = audit_run(trained("digits"), max_bytes=1500)
    (surrogate,) = found.companions
    assert surrogate.kind == "surrogate"
    assert "bpb" not in surrogate.to_json()
    assert surrogate.value_bits_per_byte < found.likelihood.bpb
    (total,) = [check for check in found.checks if check.what.startswith("joint_ce")]
    assert total.passed is None
    assert float(total.found) > 1.5, "as a code it would be too good to be true"


def test_a_mask_that_shows_a_block_to_itself_fails(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trained("block")
    monkeypatch.setattr(kraft, "MOST_WINDOWS", 256)

    def too_much(self: Ranked, length: int, device: torch.device | str = "cpu") -> torch.Tensor:
        query, key = self.rank_BS[:, :, None], self.rank_BS[:, None]
        return (~self.noisy_BS[:, None] & (key <= query))[:, None] | honest(self, length, device)

    honest = Ranked.dense
    monkeypatch.setattr(Ranked, "dense", too_much)
    found = audit_run(path, max_bytes=1500)
    assert verdicts(found, "leakage") == [False]
    assert not found.passed


def test_the_command_exits_1_for_a_model_that_sees_what_it_is_asked(trained, monkeypatch, capsys) -> None:
    """Carry-over forgotten: the symbol to be predicted is shown in its place."""
    path = trained("masked")
    monkeypatch.setattr(kraft, "MOST_WINDOWS", 256)

    def shown(config, x, vocab, draw):
        question = masked.masked_question(config, x, vocab, draw)
        nothing = torch.zeros_like(x, dtype=torch.bool)
        return type(question)(masked.masked_view(x, nothing, vocab), x, question.weights_BT)

    monkeypatch.setattr(training, "masked_question", shown)
    assert command.audit(path, max_bytes=1500, json=True) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out.splitlines()[-1])["passed"] is False
    assert "no likelihood" in printed.err


def test_a_published_loss_called_a_bound_fails_the_kraft_sum(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the joint form were taken for the marginal one, the sum over all symbols would give it away."""
    path = trained("digits")
    monkeypatch.setattr(kraft, "digit_marginals", unmarginalised)
    assert not audit_run(path, max_bytes=1500).passed


def unmarginalised(log_BTV: torch.Tensor, codes_VL: torch.Tensor) -> torch.Tensor:
    """The whole symbol's cost, shared out over its digits."""
    base = digits.digit_marginals(log_BTV, codes_VL).shape[-1]
    found = torch.empty(*log_BTV.shape[:2], codes_VL.shape[1], base, dtype=log_BTV.dtype)
    own = log_BTV[torch.arange(len(log_BTV)), 0, torch.arange(len(log_BTV)) % len(codes_VL)]
    return found.copy_((own / codes_VL.shape[1])[:, None, None, None].expand_as(found))
