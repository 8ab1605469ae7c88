"""The shape of transformers' `BltForCausalLM` as its config.json says it, and back.

Keys that are left out have the defaults of transformers 5.23.
"""

from typing import Any

from pydantic import ValidationError

from isobyte.backbone.byte_ids import COUNT
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.patching import BytePatching, EntropyPatching, FlatScorer
from isobyte.errors import UserError

Json = dict[str, Any]
PARTS: dict[str, Json] = {
    "encoder": {"hidden_size": 1024, "num_attention_heads": 16, "num_hidden_layers": 1, "rope_theta": 500_000.0,
                "max_position_embeddings": 24576},
    "decoder": {"hidden_size": 1024, "num_attention_heads": 16, "num_hidden_layers": 9, "intermediate_size": 2816,
                "rope_theta": 500_000.0, "max_position_embeddings": 24576},
    "global": {"hidden_size": 2048, "num_attention_heads": 16, "num_hidden_layers": 25, "intermediate_size": 5632,
               "rope_theta": 500_000.0},
    "patcher": {"hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 14, "intermediate_size": 2048,
                "sliding_window": 512, "rope_theta": 10_000.0, "max_position_embeddings": 8192},
}  # fmt: skip


def read_config(config: Json, where: str) -> tuple[BltConfig, int]:
    """The shape, and how many bytes a text may have at most. Raises one UserError that names all that is not known."""
    try:
        parts = {name: default | _said(config.get(f"{name}_config") or {}) for name, default in PARTS.items()}
        if config.get("patch_in_forward", True) is False:
            parts.pop("patcher")
        refuse(_unknown(config, parts), where)
        return _shape(config, parts), min(
            part["max_position_embeddings"] for name, part in parts.items() if name != "global"
        ) - 1
    except (ValidationError, TypeError, ValueError, AttributeError) as problem:
        raise misfit(problem, where) from None


def _shape(config: Json, parts: dict[str, Json]) -> BltConfig:
    window = config.get("local_attention_window_len", 512)
    patching = BytePatching()
    if "patcher" in parts:
        scorer = FlatScorer(shape=_flat(parts["patcher"], parts["patcher"]["sliding_window"]))
        patching = EntropyPatching(
            scorer=scorer,
            threshold=config.get("patching_threshold", 1.335442066192627),
            max_length=config.get("max_patch_length"),
        )
    return BltConfig(
        encoder=_flat(parts["encoder"], window),
        latent=_flat(parts["global"], None),
        decoder=_flat(parts["decoder"], window),
        patching=patching,
        latents=config.get("cross_attn_k", 2),
        decoder_cross_layers="all" if parts["decoder"].get("cross_attn_all_layers", True) else "first",
        hash_sizes=tuple(config.get("encoder_hash_byte_group_size") or (3, 4, 5, 6, 7, 8)),
        hash_vocab=config.get("encoder_hash_byte_group_vocab", 500_002),
        hash_functions=config.get("encoder_hash_byte_group_nb_functions", 1),
        hashing="released",
        cross_residual="doubled",
        decoder_input="encoder_hidden",
        document_mask=False,
    )


def refuse(unknown: list[str], where: str) -> None:
    """Raises UserError where there is anything in `unknown`."""
    if unknown:
        raise UserError(f"not supported: {'; '.join(unknown)}", where=where, how="only what is equal is converted")


def misfit(problem: Exception, where: str) -> UserError:
    """For a value that is no shape at all."""
    said = [str(problem)]
    if isinstance(problem, ValidationError):
        said = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}".strip(": ") for error in problem.errors()]
    return UserError("; ".join(said), where=where, how="name a folder whose config is whole")


def _flat(part: Json, window: int | None) -> FlatConfig:
    heads, width = part["num_attention_heads"], part["hidden_size"]
    groups = part.get("num_key_value_heads")
    return FlatConfig(
        layers=part["num_hidden_layers"], width=width, heads=heads, kv_heads=None if groups == heads else groups,
        ffn=part.get("intermediate_size") or int(8 * width / 3), rope_base=_rope(part)["rope_theta"],
        norm_eps=part.get("rms_norm_eps", 1e-5), attention_window=window,
    )  # fmt: skip


def _said(part: Json) -> Json:
    """Null means the default, but for windows."""
    return {key: value for key, value in part.items() if value is not None or key == "sliding_window"}


def _rope(part: Json) -> Json:
    """Its kind and base; older configs have the base beside it."""
    told = _said(part.get("rope_scaling") or {}) | _said(part.get("rope_parameters") or {})
    if any(isinstance(value, dict) for value in told.values()):
        return {"rope_type": "one per kind of layer", "rope_theta": part["rope_theta"]}
    return {"rope_type": told.get("type", "default"), "rope_theta": part["rope_theta"]} | told


def _unknown(config: Json, parts: dict[str, Json]) -> list[str]:
    """What this implementation has nothing for, by name."""
    found: list[str] = []

    def check(name: str, value: Any, *allowed: Any) -> None:
        if value not in allowed:
            found.append(f"{name} = {value!r}")

    check("model_type", config.get("model_type"), "blt")
    check("vocab_size", config.get("vocab_size", COUNT), COUNT)
    check("tie_word_embeddings", config.get("tie_word_embeddings", False), False, None)
    check("monotonicity", config.get("monotonicity", False), False, None)
    check("patching_threshold_add", config.get("patching_threshold_add"), None, 0)
    check("pm_size", config.get("pm_size", 0), 0, None)
    if "patcher" in parts:
        check("patching_mode", config.get("patching_mode", "entropy"), "entropy")
    for name, part in parts.items():
        check(f"{name}_config.rope_type", _rope(part)["rope_type"], "default")
        check(f"{name}_config.hidden_act", part.get("hidden_act", "silu"), "silu")
        if name != "global":
            check(f"{name}_config.vocab_size", part.get("vocab_size", COUNT), COUNT)
        if name in ("encoder", "decoder"):  # their cross-attention has as many heads as their self-attention
            heads = part["num_attention_heads"]
            check(f"{name}_config.num_key_value_heads", part.get("num_key_value_heads"), None, heads)
            check(f"{name}_config.cross_attn_k", part.get("cross_attn_k", 2), config.get("cross_attn_k", 2))
    if parts["encoder"].get("cross_attn_all_layers", False) and parts["encoder"]["num_hidden_layers"] > 1:
        found.append("encoder_config.cross_attn_all_layers (transformers pools again after each of several layers)")
    return found


def write_config(shape: BltConfig, threshold: float | None, positions: int) -> tuple[Json, list[str]]:
    """config.json for this shape, and what to know about it. Raises one UserError that names all it has no word for."""
    refuse(_inexpressible(shape), "for transformers")
    patching, notes = shape.patching, []
    entropic = isinstance(patching, EntropyPatching)
    if entropic and patching.max_length is not None:
        notes.append(
            "transformers counts max_patch_length without the byte to come: its last row differs at full patches"
        )
    if shape.document_mask:
        notes.append("transformers sees across ends of sequences (id 2), and opens no patch after them")
    local = {"cross_attn_k": shape.latents, "hidden_size_global": shape.latent.width, "vocab_size": COUNT}
    config: Json = {
        "architectures": ["BltForCausalLM"],
        "model_type": "blt",
        "vocab_size": COUNT,
        "max_position_embeddings": positions,
        "patch_in_forward": entropic,
        "patching_mode": "entropy",
        "patching_threshold": threshold if entropic else 0.0,
        "patching_batch_size": 1,
        "patch_size": 4,
        "max_patch_length": patching.max_length,
        "local_attention_window_len": shape.encoder.attention_window,
        "cross_attn_k": shape.latents,
        "encoder_hash_byte_group_size": list(shape.hash_sizes),
        "encoder_hash_byte_group_vocab": shape.hash_vocab,
        "encoder_hash_byte_group_nb_functions": shape.hash_functions,
        "encoder_config": _part("blt_local_encoder", shape.encoder, positions, local | {
            "cross_attn_all_layers": False, "sliding_window": shape.encoder.attention_window}),
        "decoder_config": _part("blt_local_decoder", shape.decoder, positions, local | {
            "cross_attn_all_layers": shape.decoder_cross_layers == "all" or shape.decoder.layers == 1}),
        "global_config": _part("blt_global_transformer", shape.latent, positions, {}),
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.encoder.rope_base},
        "tie_word_embeddings": False,
        "use_cache": False,
        "dtype": "float32",
    }  # fmt: skip
    if isinstance(patching, EntropyPatching) and isinstance(patching.scorer, FlatScorer):
        scorer = patching.scorer.shape
        more = {"vocab_size": COUNT, "sliding_window": scorer.attention_window}
        config["patcher_config"] = _part("blt_patcher", scorer, positions, more)
    return config, notes


def _part(kind: str, shape: FlatConfig, positions: int, more: Json) -> Json:
    return {
        "model_type": kind,
        "hidden_size": shape.width,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.n_kv_heads,
        "num_hidden_layers": shape.layers,
        "intermediate_size": shape.ffn_width,
        "hidden_act": "silu",
        "rms_norm_eps": shape.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_base},
        "max_position_embeddings": positions,
        "dropout": 0.0,
        "tie_word_embeddings": False,
    } | more


def inexpressible(shape: BltConfig) -> list[str]:
    """What neither transformers nor the released code has, by name."""
    found = [
        f"{name} = {getattr(shape, name)!r} (it has only {theirs!r})"
        for name, theirs in (
            ("cross_residual", "doubled"), ("hashing", "released"), ("decoder_input", "encoder_hidden"),
        ) if getattr(shape, name) != theirs
    ]  # fmt: skip
    if not shape.hash_sizes:
        found.append("hash_sizes = ()")
    if shape.latent.attention_window is not None:
        found.append("latent.attention_window")
    if shape.encoder.attention_window != shape.decoder.attention_window:
        found.append("attention_window of encoder and decoder, which differ")
    patching = shape.patching
    match patching:
        case EntropyPatching():
            if patching.rule != "global":
                found.append(f"patching.rule = {patching.rule!r}")
            if not isinstance(patching.scorer, FlatScorer):
                found.append(f"patching.scorer.kind = {patching.scorer.kind!r}")
            elif patching.scorer.shape.tied:
                found.append("patching.scorer.shape.tied")
        case BytePatching():
            pass
        case _:
            found.append(f"patching.kind = {patching.kind!r}")
    return found


def _inexpressible(shape: BltConfig) -> list[str]:
    found = inexpressible(shape)
    if shape.encoder_cross_layers == "all" and shape.encoder.layers > 1:
        found.append("encoder_cross_layers = 'all' (it pools again after each layer)")
    for name, local, heads in (
        ("encoder", shape.encoder, shape.encoder_cross_heads), ("decoder", shape.decoder, shape.decoder_cross_heads),
    ):  # fmt: skip
        if heads not in (None, local.heads):
            found.append(f"{name}_cross_heads = {heads} (it has those of self-attention, {local.heads})")
        if local.n_kv_heads != local.heads:
            found.append(f"{name}.kv_heads = {local.n_kv_heads} (its cross-attention would be grouped, too)")
    return found
