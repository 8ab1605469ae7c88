"""What generating reads from memory, by the published rule and in full."""

import pytest

from blt_models import entropy_patching, local
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.patching import SpacePatching
from isobyte.cost.bandwidth import (
    PUBLISHED,
    Work,
    bytes_read,
    published_bandwidth,
    published_calls,
    weights,
)
from isobyte.cost.blt import blt_parameters, scorer_shape

LATENT = FlatConfig(layers=2, width=48, heads=4, ffn=64)
SHAPE = BltConfig(encoder=local(1), latent=LATENT, decoder=local(2), patching=entropy_patching(), hash_vocab=97)
OTHER = {"patching": SpacePatching(), "decoder_input": "embedding", "latents": 3, "encoder": local(2)}


def test_the_published_gigabytes_follow_from_the_published_calls() -> None:
    """Rows of arXiv 2605.08044's tables for 3B: decoder's calls, the latent transformer's, gigabytes."""
    rows = ((512, 308, 1920.99), (580, 130, 928.73), (216, 128, 797.58), (162, 32, 233.87), (217, 217, 1307.60))
    for decoder, latent, published in rows:
        assert published_bandwidth(decoder, latent, PUBLISHED["3B"]) / 1e9 == pytest.approx(published, rel=0.01)
    assert published_bandwidth(512, 250, PUBLISHED["1B"]) / 1e9 == pytest.approx(814.95, rel=0.01)
    # 65 rounds of drafts of 8: 520 drafts and 65 judgements, two calls of the latent transformer each
    assert published_calls(512, 300, drafted=65 * 8, rounds=65) == (585, 130)
    assert published_calls(512, 308, drafted=0, rounds=0) == (512, 308)


def test_every_weight_is_read_but_tables() -> None:
    for shape in (SHAPE, SHAPE.model_copy(update=OTHER | {"encoder_cross_layers": "all"})):
        read, counted = weights(shape), blt_parameters(shape)
        assert read.encoder + read.latent + read.decoder == counted.N + counted.head
        scorer = scorer_shape(shape.patching)
        # its embedding has a row for the beginning, too
        assert read.entropy == (0 if scorer is None else counted.patcher - 261 * scorer.width)


def test_what_is_read_adds_up() -> None:
    """A byte of a text decoded plainly at place 100, with patches of four bytes."""
    read, passes = weights(SHAPE), {"entropy": 1, "encoder": 1, "latent": 1 / 4, "decoder": 1}
    found = bytes_read(SHAPE, Work(passes, rows=1, texts=1, place=100, patch=25), width=2, weight_width=2)
    assert found["latent"] == 2 * read.latent / 4
    assert found["decoder"] == 2 * read.decoder
    assert found["hashed"] == 2 * 6 * 32
    # keys and values: 8 places of two decoder layers, an encoder layer, a scorer layer; 26 patches of two layers
    assert found["held"] == 2 * 2 * (8 * (2 * 32 + 32 + 16) + 26 * 2 * 48 / 4)
    assert found["all"] == sum(value for name, value in found.items() if name != "all")
    batch = bytes_read(SHAPE, Work(passes, rows=3, texts=3, place=100, patch=25), width=2, weight_width=2)
    assert (batch["decoder"], batch["latent"]) == (found["decoder"], found["latent"])
    assert (batch["held"], batch["hashed"]) == (3 * found["held"], 3 * found["hashed"])
    assert bytes_read(SHAPE, Work({}, 0, 1, 0, 0), width=2, weight_width=2)["all"] == 0
