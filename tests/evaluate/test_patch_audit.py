"""Runs of whole patches pass their audit, and networks that see what they are asked are found."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from isobyte.config.objective import PatchArConfig, PatchMaskedConfig
from isobyte.evaluate.audit import audit_run
from isobyte.evaluate.leak_patches import patch_leak
from isobyte.objective.base import View, network_log_probs
from isobyte.objective.patchwise import grouping_of
from patch_models import KINDS, RULES, patch_net, train_kinds

TEXT = torch.tensor([list(b"ab cd efgh"), list(b"a b c dddd")])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return train_kinds(tmp_path_factory.mktemp("patches"))


@pytest.mark.parametrize("kind", KINDS)
def test_an_audit_asks_everything_and_passes(kind: str, runs: dict[str, Path]) -> None:
    found = audit_run(runs[kind], max_bytes=600)
    assert found.passed, found.checks
    asked = {check.name for check in found.checks if check.passed}
    assert {"leakage", "Kraft sum", "codec", "code length"} <= asked
    assert ("beside it" in {check.name for check in found.checks}) == (kind == "patch_masked")


@torch.inference_mode()
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("objective", [PatchMaskedConfig(), PatchArConfig()], ids=KINDS)
def test_honest_networks_leak_nothing(rule: str, objective: PatchArConfig | PatchMaskedConfig) -> None:
    model = patch_net(RULES[rule], both_ways=isinstance(objective, PatchMaskedConfig))
    grouping = grouping_of(model)
    assert grouping is not None
    moved, tried = patch_leak(network_log_probs(model), objective, model, grouping, TEXT)
    assert tried
    assert moved < 1e-12


@torch.inference_mode()
@pytest.mark.parametrize("told", ["bytes", "length"])
@pytest.mark.parametrize("objective", [PatchMaskedConfig(), PatchArConfig()], ids=KINDS)
def test_networks_that_see_what_they_are_asked_are_found(
    told: str, objective: PatchArConfig | PatchMaskedConfig
) -> None:
    """By what stands behind the mask: the sum of the window's bytes, or how many they are."""
    model = patch_net(RULES["space"], both_ways=isinstance(objective, PatchMaskedConfig))
    grouping, honest = grouping_of(model), network_log_probs(model)
    assert grouping is not None

    def knowing(view: View) -> Tensor:
        known = view.inputs.sum(1) if told == "bytes" else torch.full((len(view.inputs),), view.inputs.shape[1])
        log_BSV = honest(view)
        return (log_BSV + torch.sin(known)[:, None, None] * torch.arange(log_BSV.shape[-1]) / 100).log_softmax(-1)

    moved, _ = patch_leak(knowing, objective, model, grouping, TEXT)
    # from left to right there is nothing that a longer patch could tell of itself
    assert (moved > 1e-6) == (told == "bytes" or isinstance(objective, PatchMaskedConfig))
