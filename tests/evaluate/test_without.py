"""What a part of a Byte Latent Transformer is worth."""

import pytest
import torch

from blt_models import blt, texts
from isobyte.backbone.byte_ids import OFFSET
from isobyte.backbone.flat import FlatModel
from isobyte.config.backbone import FlatConfig
from isobyte.errors import UserError
from isobyte.evaluate.without import take_out
from isobyte.likelihood.exact import ar_nats
from isobyte.objective.base import network_log_probs


@torch.no_grad()
def nats(model, ids):
    return ar_nats(network_log_probs(model), ids[:, 1:] - OFFSET, 256).sum()


@torch.no_grad()
def test_without_latents_the_decoder_reads_zeros_and_nothing_else_changes() -> None:
    model, ids = blt(), texts(2, 24)
    whole, forward = nats(model, ids), model.latent.forward
    model.latent.forward = lambda patches, documents: torch.zeros_like(forward(patches, documents))
    silent = nats(model, ids)
    model.latent.forward = forward
    take_out(model, "latents")
    assert nats(model, ids) == pytest.approx(float(silent), rel=1e-6)
    assert abs(float(silent - whole)) > 1e-3


@torch.no_grad()
def test_without_ngrams_bytes_are_known_by_their_own_rows() -> None:
    model, ids = blt(), texts(2, 24)
    whole = nats(model, ids)
    take_out(model, "ngrams")
    silent = nats(model, ids)
    model.encoder.hashes.forward = lambda *_: torch.zeros(())
    assert float(silent) == pytest.approx(float(nats(model, ids)), rel=1e-6)
    assert abs(float(silent - whole)) > 1e-3


@pytest.mark.parametrize(
    ("model", "part", "said"),
    [
        (lambda: blt(), "decoder", "no part is called"),
        (lambda: blt(hash_sizes=()), "ngrams", "no n-gram tables"),
        (lambda: FlatModel(FlatConfig(layers=1, width=16, heads=2), 256), "latents", "backbone blt"),
    ],
)
def test_what_is_not_there_cannot_be_taken_out(model, part: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        take_out(model(), part)
