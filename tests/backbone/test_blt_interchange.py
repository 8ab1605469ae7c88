"""Names, shapes and configs of transformers and of the released code: all is converted, or named and refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from blt_theirs import SHAPES, theirs
from isobyte.backbone.blt import official_config, transformers_config
from isobyte.backbone.blt.interchange import halves, official, pairs, read_weights, weights_of, write_weights
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.layers import rotate, rotation
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.patching import EntropyPatching, FlatScorer, NgramScorer, StaticPatching
from isobyte.errors import UserError

OFFICIAL = {
    ".self_attn.": ".attention.", ".mlp.": ".feed_forward.", ".input_layernorm.": ".attention_norm.",
    ".post_attention_layernorm.": ".ffn_norm.", ".embed_tokens.": ".tok_embeddings.",
    ".q_norm.": ".cross_attn_norm_q.", ".k_norm.": ".cross_attn_norm_kv.", ".gate_proj.": ".w1.", ".up_proj.": ".w3.",
    ".down_proj.": ".w2.", ".q_proj.": ".wq.", ".k_proj.": ".wk.", ".v_proj.": ".wv.", ".o_proj.": ".wo.",
}  # fmt: skip
"""The renames of transformers' own conversion, the other way round."""


def renamed(tensors: dict[str, Tensor], rows: int) -> dict[str, Tensor]:
    """transformers' tensors as the released code has them, the entropy model's behind `patcher.`."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if "encoder_hash_tok_embedding" in name:
            found |= {f"encoder_hash_tok_embedding.{n}.weight": part for n, part in enumerate(tensor.split(rows))}
            continue
        name = "local_decoder.output.weight" if name == "lm_head.weight" else name.removeprefix("model.")
        name = name.replace("patcher.lm_head", "patcher.output")
        for theirs_, others in OFFICIAL.items():
            name = name.replace(theirs_, others)
        found[name] = tensor
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_there_and_back_is_the_same_bit_for_bit(name: str) -> None:
    model = theirs(name)
    shape, positions = transformers_config.read_config(model.config.to_dict(), "there")
    assert positions == 8191, "what the patcher was made for"
    state = model.state_dict()
    weights = weights_of(shape)
    ours = read_weights(state, weights, "there")
    assert ours.keys() | {"patcher.threshold", "patcher.rise"} == BltModel(shape).state_dict().keys()
    back = write_weights(ours, weights)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    del ours["head.weight"]
    with pytest.raises(UserError, match=r"missing: head\.weight"):
        write_weights(ours, weights)


@pytest.mark.parametrize("name", SHAPES)
def test_both_namings_give_the_same_tensors(name: str) -> None:
    model = theirs(name)
    shape, _ = transformers_config.read_config(model.config.to_dict(), "there")
    state = dict(model.state_dict())
    expected = read_weights(state, weights_of(shape), "there")
    others = renamed(state, shape.hash_vocab)
    weights = official(weights_of(shape), shape.hash_vocab)
    ours = read_weights(others, weights, "there")
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)
    back = write_weights(ours, weights)
    assert back.keys() == others.keys()
    assert all(torch.equal(back[name], others[name]) for name in others)


def test_hash_tables_lie_functions_first() -> None:
    """Table g is (function, size) = divmod(g, sizes), as the rows that an n-gram is looked up in say."""
    model = theirs("two layers, two hashes")
    shape, _ = transformers_config.read_config(model.config.to_dict(), "there")
    weights = [w for w in official(weights_of(shape), shape.hash_vocab) if w.name == "encoder.hashes.weight"]
    tables = {name: torch.full((101, 32), float(n)) for n, name in enumerate(weights[0].theirs)}
    assert list(tables) == [f"encoder_hash_tok_embedding.{n}.weight" for n in range(12)]
    made = BltModel(shape)
    assert made.encoder.hashes is not None
    made.encoder.hashes.weight.data = weights[0].read(tables)
    rows = made.encoder.hashes.table_rows(torch.tensor([[[0, 0, 0, 0, 0, 9, 8, 7]]]))
    assert made.encoder.hashes.weight[rows][0, 0, :, 0].tolist() == [float(n) for n in range(12)]
    for prime, table in ((1000000007, 0), (5915587277, 6)):  # 3-grams, oldest byte first
        signed = (9 + 8 * prime + 7 * prime**2 + 2**63) % 2**64 - 2**63
        assert rows[0, 0, table] == 101 * table + signed % 101


def test_halves_turn_as_pairs_do() -> None:
    generator = torch.Generator().manual_seed(3)
    heads, size, width = 3, 8, 5
    weight = torch.randn(heads * size, width, generator=generator, dtype=torch.float64)
    x = torch.randn(7, width, generator=generator, dtype=torch.float64)
    turn = rotation(torch.arange(7), size, 50.0)
    ours = rotate((x @ halves(weight, heads).T).view(1, 7, heads, size), turn)
    as_pairs = torch.view_as_complex((x @ weight.T).view(7, heads, size // 2, 2))
    expected = torch.view_as_real(as_pairs * turn.turn[:, None].to(torch.complex128)).flatten(-2)
    back = ours[0].unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
    torch.testing.assert_close(back, expected)
    assert torch.equal(pairs(halves(weight, heads), heads), weight)


def test_all_that_does_not_fit_is_named_at_once() -> None:
    model = theirs("as released")
    shape, _ = transformers_config.read_config(model.config.to_dict(), "there")
    state = dict(model.state_dict())
    del state["model.local_decoder.norm.weight"], state["model.patcher.layers.0.mlp.up_proj.weight"]
    state["model.local_decoder.bias"] = torch.zeros(3)
    state["lm_head.weight"] = state["lm_head.weight"][:256]
    state["model.global_transformer.layers.1.self_attn.k_proj.weight"] = torch.zeros(32, 64)
    with pytest.raises(UserError) as caught:
        read_weights(state, weights_of(shape), "there")
    for part in (
        "missing: model.local_decoder.norm.weight, model.patcher.layers.0.mlp.up_proj.weight;",
        "not known: model.local_decoder.bias;",
        "lm_head.weight (256, 32), not (260, 32)",
        "model.global_transformer.layers.1.self_attn.k_proj.weight (32, 64), not (64, 64)",
    ):
        assert part in str(caught.value)


REFUSED: dict[str, dict[str, Any]] = {
    "model_type = 'llama'": {"model_type": "llama"},
    "tie_word_embeddings = True": {"tie_word_embeddings": True},
    "vocab_size = 300": {"vocab_size": 300},
    "patching_mode = 'space'": {"patching_mode": "space"},
    "monotonicity = True": {"monotonicity": True},
    "patching_threshold_add = 0.5": {"patching_threshold_add": 0.5},
    "encoder_config.cross_attn_all_layers": {"encoder_config": {"cross_attn_all_layers": True, "num_hidden_layers": 2}},
    "encoder_config.rope_type = 'linear'": {"encoder_config": {"rope_scaling": {"type": "linear", "factor": 2.0}}},
    "global_config.rope_type = 'llama3'": {"global_config": {"rope_parameters": {"rope_type": "llama3"}}},
    "patcher_config.rope_type = 'one per kind of layer'": {"patcher_config": {"rope_parameters": {"full": {}}}},
    "decoder_config.num_key_value_heads = 4": {"decoder_config": {"num_key_value_heads": 4}},
    "decoder_config.cross_attn_k = 3": {"decoder_config": {"cross_attn_k": 3}},
    "decoder_config.hidden_act = 'gelu'": {"decoder_config": {"hidden_act": "gelu"}},
    "patcher_config.vocab_size = 256": {"patcher_config": {"vocab_size": 256}},
    "width 100 does not divide into 16 heads": {"encoder_config": {"hidden_size": 100}},
    "less than or equal to 11": {"encoder_hash_byte_group_nb_functions": 12},
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_not_supported_is_refused_by_name(said: str) -> None:
    with pytest.raises(UserError) as caught:
        transformers_config.read_config({"model_type": "blt"} | REFUSED[said], "there")
    assert said in str(caught.value)
    assert "there" in str(caught.value)


def test_all_refusals_come_at_once() -> None:
    with pytest.raises(UserError, match="monotonicity = True; patching_mode = 'bpe'"):
        transformers_config.read_config({"model_type": "blt", "patching_mode": "bpe", "monotonicity": True}, "there")


def test_a_bare_config_is_the_released_billion() -> None:
    shape, _ = transformers_config.read_config({"model_type": "blt"}, "there")
    assert (shape.latent.layers, shape.latent.width, shape.decoder.layers, shape.encoder.layers) == (25, 2048, 9, 1)
    assert shape.encoder.ffn == 2730
    assert (shape.encoder.rope_base, shape.encoder.attention_window, shape.hash_vocab) == (500_000.0, 512, 500_002)
    assert isinstance(shape.patching, EntropyPatching)
    assert shape.patching.threshold == 1.335442066192627
    sizes = [torch.Size(w.shape(part)).numel() for w in weights_of(shape) for part in range(len(w.theirs))]
    assert 3.0e9 < sum(sizes) - 1.56e9 < 3.1e9, "hash tables and the rest"


FLAT = FlatConfig(layers=1, width=32, heads=2, ffn=64, attention_window=8)
SHAPE = BltConfig(
    encoder=FLAT, decoder=FLAT, latent=FLAT.model_copy(update={"attention_window": None}), hash_vocab=10,
    patching=EntropyPatching(scorer=FlatScorer(shape=FLAT), threshold=1.0),
    cross_residual="doubled", document_mask=False,
)  # fmt: skip
UNKNOWN: dict[str, dict[str, Any]] = {
    "cross_residual = 'single'": {"cross_residual": "single"},
    "hashing = 'paper'": {"hashing": "paper"},
    "decoder_input = 'embedding'": {"decoder_input": "embedding"},
    "hash_sizes = ()": {"hash_sizes": ()},
    "latent.attention_window": {"latent": FLAT},
    "attention_window of encoder and decoder": {"decoder": FLAT.model_copy(update={"attention_window": 9})},
    "patching.kind = 'static'": {"patching": StaticPatching(size=4)},
    "patching.rule = 'monotonic'": {
        "patching": EntropyPatching(scorer=FlatScorer(shape=FLAT), rule="monotonic", rise=1.0)
    },
    "patching.scorer.kind = 'ngram'": {"patching": EntropyPatching(scorer=NgramScorer(), threshold=1.0)},
}
TRANSFORMERS_ALONE: dict[str, dict[str, Any]] = {
    "encoder_cross_layers = 'all'": {"encoder": FLAT.model_copy(update={"layers": 2}), "encoder_cross_layers": "all"},
    "encoder_cross_heads = 4": {"encoder_cross_heads": 4},
    "decoder.kv_heads = 1": {"decoder": FLAT.model_copy(update={"kv_heads": 1})},
}
OFFICIAL_ALONE: dict[str, dict[str, Any]] = {
    "rope_base of encoder, latent and decoder": {"encoder": FLAT.model_copy(update={"rope_base": 9.0})},
    "heads of cross-attention": {"encoder_cross_heads": 4},
    "kv_heads of encoder and decoder": {"decoder": FLAT.model_copy(update={"kv_heads": 1})},
    "ffn of encoder, latent and decoder": {"decoder": FLAT.model_copy(update={"ffn": 999})},
}


@pytest.mark.parametrize("said", UNKNOWN | TRANSFORMERS_ALONE)
def test_what_transformers_cannot_say_is_refused_by_name(said: str) -> None:
    transformers_config.write_config(SHAPE, 1.0, 65)
    with pytest.raises(UserError) as caught:
        transformers_config.write_config(SHAPE.model_copy(update=(UNKNOWN | TRANSFORMERS_ALONE)[said]), 1.0, 65)
    assert said in str(caught.value)


@pytest.mark.parametrize("said", UNKNOWN | OFFICIAL_ALONE)
def test_what_the_released_code_cannot_say_is_refused_by_name(said: str) -> None:
    official_config.write_config(SHAPE, 1.0, 65)
    with pytest.raises(UserError) as caught:
        official_config.write_config(SHAPE.model_copy(update=(UNKNOWN | OFFICIAL_ALONE)[said]), 1.0, 65)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"document_mask": True, "latents": 3, "hash_functions": 2, "hash_sizes": (2, 5)},
        {"encoder": FLAT.model_copy(update={"layers": 2}), "encoder_cross_layers": "all", "encoder_cross_heads": 4,
         "decoder_cross_heads": 4, "decoder_cross_layers": "first"},
        {"latent": FLAT.model_copy(update={"kv_heads": 1, "attention_window": None, "width": 48, "ffn": 96})},
    ],
    ids=["plain", "documents", "all-layers", "grouped"],
)  # fmt: skip
def test_the_released_codes_config_comes_back(changes: dict[str, Any]) -> None:
    shape = SHAPE.model_copy(update=changes)
    args, beside, notes = official_config.write_config(shape, 1.0, 65)
    assert beside is not None
    assert len(notes) == 1, "the released loader fixes the entropy model's window"
    back, positions = official_config.read_config(
        args, beside["entropy_model"], beside["data"]["patcher_args"], "there"
    )
    assert (back, positions) == (BltConfig.model_validate(shape.model_dump()), 64)


def test_the_released_billions_arguments() -> None:
    """Widths of feed-forward layers as its checkpoint has them (arXiv 2412.09871, table 10, and the code's rule)."""
    args = {
        "vocab_size": 260, "dim_global": 2048, "n_layers_global": 25, "n_heads_global": 16, "dim_local_encoder": 1024,
        "dim_local_decoder": 1024, "n_layers_local_encoder": 1, "n_layers_local_decoder": 9,
        "n_heads_local_encoder": 16, "n_heads_local_decoder": 16, "cross_attn_nheads": 16, "cross_attn_k": 2,
        "cross_attn_encoder": True, "cross_attn_decoder": True, "cross_attn_init_by_pooling": True,
        "cross_attn_all_layers_decoder": True, "downsampling_by_pooling": "max", "use_local_encoder_transformer": True,
        "encoder_hash_byte_group_size": "3,4,5,6,7,8", "encoder_hash_byte_group_vocab": 500_002,
        "encoder_hash_byte_group_nb_functions": 1, "rope_theta": 500_000.0, "local_attention_window_len": 512,
        "attn_bias_type": "block_causal", "max_encoder_seq_length": 12288, "ffn_dim_multiplier": 1.0,
    }  # fmt: skip
    scorer = {
        "dim": 768,
        "n_layers": 14,
        "n_heads": 12,
        "max_seqlen": 8192,
        "ffn_dim_multiplier": 1.0,
        "vocab_size": 260,
    }
    shape, positions = official_config.read_config(args, scorer, {"threshold": 1.335442066192627}, "there")
    assert (shape.encoder.ffn, shape.decoder.ffn, shape.latent.ffn, positions) == (2816, 2816, 5632, 12287)
    assert isinstance(shape.patching, EntropyPatching)
    assert isinstance(shape.patching.scorer, FlatScorer)
    mine = shape.patching.scorer.shape
    assert (mine.ffn, mine.attention_window, mine.rope_base) == (2048, 512, 10_000.0)
    with pytest.raises(UserError, match="cross_attn_window_decoder = 512; attn_bias_type = 'full'"):
        official_config.read_config(
            args | {"attn_bias_type": "full", "cross_attn_window_decoder": 512}, scorer, {}, "x"
        )
    with pytest.raises(UserError, match="--patcher"):
        official_config.read_config(args, None, {}, "there")
    with pytest.raises(UserError, match="threshold"):
        official_config.read_config(args, scorer, {}, "there")
