"""Byte Latent Transformers of transformers, small and random."""

from typing import Any

import torch
from torch import Tensor
from transformers import BltConfig, BltForCausalLM

WINDOW = 16
GENERATOR_SEED = 5
SHAPES: dict[str, dict[str, Any]] = {
    "as released": {"k": 2, "encoder": {}, "decoder": {}, "global": {}, "patcher": {}},
    "projected, grouped": {"k": 3, "encoder": {}, "decoder": {}, "global": {"num_key_value_heads": 2}, "patcher": {}},
    "two layers, two hashes": {
        "k": 1,
        "encoder": {"num_hidden_layers": 2, "rms_norm_eps": 1e-3, "intermediate_size": 40, "num_attention_heads": 2},
        "decoder": {"num_hidden_layers": 3, "cross_attn_all_layers": False, "rms_norm_eps": 1e-4},
        "global": {"rope_parameters": {"rope_type": "default", "rope_theta": 700.0}},
        "patcher": {"num_key_value_heads": 1, "num_hidden_layers": 2},
        "encoder_hash_byte_group_nb_functions": 2,
    },
}


def theirs(name: str, **changes: Any) -> BltForCausalLM:
    """Random weights, norms included: with norms of 1 it would not show where they stand."""
    told = dict(SHAPES[name])
    k = told.pop("k")
    local = {
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "hidden_size_global": 64,
        "cross_attn_k": k,
    }
    config = BltConfig(
        encoder_config=local | told.pop("encoder"),
        decoder_config=local | {"num_hidden_layers": 2} | told.pop("decoder"),
        global_config={"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 80}
        | told.pop("global"),
        patcher_config={
            "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32,
            "sliding_window": WINDOW,
        } | told.pop("patcher"),
        **{
            "cross_attn_k": k, "local_attention_window_len": WINDOW, "encoder_hash_byte_group_vocab": 101,
            "max_patch_length": None, "use_cache": False, "attn_implementation": "eager",
        } | told | changes,
    )  # fmt: skip
    torch.manual_seed(GENERATOR_SEED)
    model = BltForCausalLM(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.copy_(1 + 0.3 * torch.randn_like(weight))
    if model.model.patcher is not None and "patching_threshold" not in changes:
        config.patching_threshold = middle(model)
    return model


def texts(length: int = 90, batch: int = 3) -> Tensor:
    """[B, T] ids: the beginning, then bytes."""
    ids = torch.randint(4, 260, (batch, length), generator=torch.Generator().manual_seed(1))
    ids[:, 0] = 1
    return ids


@torch.no_grad()
def their_entropies(model: BltForCausalLM, ids: Tensor) -> Tensor:
    patcher = model.model.patcher
    assert patcher is not None
    return patcher(ids, patch_size=4, threshold=0.0)[0]


def middle(model: BltForCausalLM) -> float:
    """A threshold by which a third of the bytes open a patch."""
    return float(their_entropies(model, texts()).quantile(0.7))


@torch.no_grad()
def their_logits(model: BltForCausalLM, ids: Tensor, **more: Any) -> Tensor:
    return model(ids, use_cache=False, **more).logits
