"""The shape of the released code's checkpoints (facebookresearch/blt) as their JSON says it, and back.

The model's arguments and those of its entropy model lie in two folders. Keys that are left out have that code's
defaults; widths of feed-forward layers follow from `multiple_of` and `ffn_dim_multiplier`.
"""

from typing import Any

from pydantic import ValidationError

from isobyte.backbone.blt.transformers_config import Json, inexpressible, misfit, refuse
from isobyte.backbone.byte_ids import COUNT
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.patching import BytePatching, EntropyPatching, FlatScorer
from isobyte.errors import UserError

SCORER_WINDOW = 512
"""Its loader fixes the entropy model's window, and leaves its rotary base and `multiple_of` at their defaults."""
_REQUIRED: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
    ("vocab_size", COUNT, (COUNT,)),
    ("weight_tying", False, (False,)),
    ("tie_local_encoder_decoder_logits", False, (False,)),
    ("cross_attn_encoder", False, (True,)),
    ("cross_attn_decoder", False, (True,)),
    ("cross_attn_init_by_pooling", False, (True,)),
    ("cross_attn_window_encoder", None, (None,)),
    ("cross_attn_window_decoder", None, (None,)),
    ("downsampling_by_pooling", None, ("max",)),
    ("use_local_encoder_transformer", False, (True,)),
    ("encoder_enable_byte_ngrams", False, (False,)),
    ("use_rope", True, (True,)),
    ("pm_size", 0, (0, None)),
    ("norm_type", "rmsnorm", ("rmsnorm",)),
    ("non_linearity", "swiglu", ("swiglu",)),
    ("attn_bias_type", "causal", ("causal", "block_causal")),
)
"""Key, that code's default, what can be converted."""


def read_config(args: Json, scorer: Json | None, patcher: Json, where: str) -> tuple[BltConfig, int]:
    """The shape of a model with these arguments, those of its entropy model and those of its patcher, and how many
    bytes a text may have at most. Raises one UserError that names all that is not known."""
    rule = {key: patcher.get(key, args.get(key)) for key in ("monotonicity", "threshold_add", "max_patch_length")}
    mode = patcher.get("patching_mode") or args.get("patching_mode") or "entropy"
    threshold = patcher.get("threshold", args.get("patching_threshold"))
    found = [
        f"{key} = {args.get(key, default)!r}" for key, default, allowed in _REQUIRED
        if args.get(key, default) not in allowed
    ]  # fmt: skip
    found += [f"patching_mode = {mode!r}"] if mode not in ("entropy", "byte") else []
    found += [f"{key} = {rule[key]!r}" for key in ("monotonicity", "threshold_add") if rule[key]]
    if args.get("dim_token") not in (None, args.get("dim_local_encoder", 512)):
        found.append(f"dim_token = {args['dim_token']!r}")
    refuse(found, where)
    if mode == "entropy" and scorer is None:
        raise UserError("its entropy model is missing", where=where, how="name the folder that holds it by --patcher")
    try:
        patching = BytePatching()
        if mode == "entropy":
            assert scorer is not None
            shape = _flat(
                scorer | {"n_kv_heads": scorer.get("n_kv_heads")}, "", scorer.get("sliding_window") or SCORER_WINDOW
            )
            patching = EntropyPatching(
                scorer=FlatScorer(shape=shape), threshold=threshold, max_length=rule["max_patch_length"]
            )
        return _shape(args, patching), _positions(args) - 1
    except (ValidationError, TypeError, ValueError, AttributeError) as problem:
        raise misfit(problem, where) from None


def _shape(args: Json, patching: BytePatching | EntropyPatching) -> BltConfig:
    window = args.get("local_attention_window_len")
    encoder, decoder = _flat(args, "_local_encoder", window), _flat(args, "_local_decoder", window)
    latent = _flat(args | {"n_kv_heads": args.get("n_kv_heads_global")}, "_global", None)
    heads, several = args.get("cross_attn_nheads"), encoder.layers > 1
    sizes = args.get("encoder_hash_byte_group_size") or ()
    sizes = sizes.split(",") if isinstance(sizes, str) else sizes
    return BltConfig(
        encoder=encoder,
        latent=latent,
        decoder=decoder,
        patching=patching,
        latents=args.get("cross_attn_k") or 0,
        encoder_cross_heads=None if heads == encoder.heads else heads,
        decoder_cross_heads=None if heads == decoder.heads else heads,
        encoder_cross_layers="all" if args.get("cross_attn_all_layers_encoder") and several else "last",
        decoder_cross_layers="all" if args.get("cross_attn_all_layers_decoder") else "first",
        hash_sizes=tuple(int(size) for size in sizes if str(size)),
        hash_vocab=args.get("encoder_hash_byte_group_vocab", 30_000),
        hash_functions=args.get("encoder_hash_byte_group_nb_functions", 3),
        hashing="released",
        cross_residual="doubled",
        decoder_input="encoder_hidden",
        document_mask=args.get("attn_bias_type") == "block_causal",
    )


def _flat(args: Json, part: str, window: int | None) -> FlatConfig:
    width, heads, kv = args.get(f"dim{part}", 512), args.get(f"n_heads{part}", 8), args.get("n_kv_heads")
    return FlatConfig(
        layers=args.get(f"n_layers{part}", 8), width=width, heads=heads, kv_heads=None if kv == heads else kv,
        ffn=_ffn(width, args.get("multiple_of") or 256, args.get("ffn_dim_multiplier")),
        rope_base=args.get("rope_theta", 10_000.0), norm_eps=args.get("norm_eps", 1e-5), attention_window=window,
    )  # fmt: skip


def _ffn(width: int, multiple_of: int, multiplier: float | None) -> int:
    hidden = int(2 * 4 * width / 3)
    hidden = hidden if multiplier is None else int(multiplier * hidden)
    return -(-hidden // multiple_of) * multiple_of


def _positions(args: Json) -> int:
    return args.get("max_encoder_seq_length") or args.get("max_seqlen") or 1024


def write_config(shape: BltConfig, threshold: float | None, positions: int) -> tuple[Json, Json | None, list[str]]:
    """The arguments, the JSON beside the entropy model, if there is one, and what to know about them.

    Raises one UserError that names all that the released code has no word for.
    """
    encoder, latent, decoder, notes = shape.encoder, shape.latent, shape.decoder, []
    widths = _widths((encoder, latent, decoder))
    found = inexpressible(shape) + [
        f"{name} of encoder, latent and decoder, which differ"
        for name in ("rope_base", "norm_eps") if len({getattr(part, name) for part in (encoder, latent, decoder)}) > 1
    ]  # fmt: skip
    groups = {None if part.n_kv_heads == part.heads else part.n_kv_heads for part in (encoder, decoder)}
    cross = {shape.encoder_cross_heads or encoder.heads, shape.decoder_cross_heads or decoder.heads}
    found += ["kv_heads of encoder and decoder, which differ"] if len(groups) > 1 else []
    found += ["heads of cross-attention, which differ"] if len(cross) > 1 else []
    found += ["ffn of encoder, latent and decoder, which no multiple gives"] if widths is None else []
    refuse(found, "for the released code")
    assert widths is not None
    args = {
        "vocab_size": COUNT, "max_seqlen": positions, "max_encoder_seq_length": positions, "weight_tying": False,
        "dim_global": latent.width, "n_layers_global": latent.layers, "n_heads_global": latent.heads,
        "n_kv_heads_global": latent.n_kv_heads,
        "dim_local_encoder": encoder.width, "n_layers_local_encoder": encoder.layers,
        "n_heads_local_encoder": encoder.heads,
        "dim_local_decoder": decoder.width, "n_layers_local_decoder": decoder.layers,
        "n_heads_local_decoder": decoder.heads, "n_kv_heads": groups.pop(),
        "rope_theta": latent.rope_base, "norm_eps": latent.norm_eps, "attn_bias_type":
        "block_causal" if shape.document_mask else "causal", "local_attention_window_len": encoder.attention_window,
        "cross_attn_encoder": True, "cross_attn_decoder": True, "cross_attn_init_by_pooling": True,
        "cross_attn_k": shape.latents, "cross_attn_nheads": cross.pop(),
        "cross_attn_all_layers_encoder": shape.encoder_cross_layers == "all",
        "cross_attn_all_layers_decoder": shape.decoder_cross_layers == "all",
        "downsampling_by_pooling": "max", "use_local_encoder_transformer": True, "use_rope": True,
        "encoder_hash_byte_group_size": list(shape.hash_sizes), "encoder_hash_byte_group_vocab": shape.hash_vocab,
        "encoder_hash_byte_group_nb_functions": shape.hash_functions,
        "patch_in_forward": False, "patching_mode": shape.patching.kind, "patching_threshold": threshold,
        "patching_threshold_add": None, "monotonicity": False, "max_patch_length": shape.patching.max_length,
    } | widths  # fmt: skip
    patching = shape.patching
    if not isinstance(patching, EntropyPatching):
        return args, None, notes
    assert isinstance(patching.scorer, FlatScorer)
    scorer = patching.scorer.shape
    mine = _widths((scorer,))
    refuse(["patching.scorer.shape.ffn, which no multiple gives"] if mine is None else [], "for the released code")
    assert mine is not None
    refuse(
        ["patching.scorer.shape.attention_window = None"] if not scorer.attention_window else [],
        "for the released code",
    )
    fixed = (scorer.attention_window, scorer.rope_base, scorer.norm_eps, scorer.n_kv_heads, mine["multiple_of"])
    if fixed != (SCORER_WINDOW, 10_000.0, 1e-5, scorer.heads, 256):
        notes.append(
            f"the released loader takes an entropy model of window {SCORER_WINDOW}, rotary base 10000, eps 1e-5, "
            "ungrouped heads and feed-forward widths in multiples of 256, whatever its config says"
        )
    model = {
        "dim": scorer.width, "n_layers": scorer.layers, "n_heads": scorer.heads, "n_kv_heads": scorer.n_kv_heads,
        "max_seqlen": positions, "vocab_size": COUNT, "rope_theta": scorer.rope_base, "norm_eps": scorer.norm_eps,
        "sliding_window": scorer.attention_window,
    } | mine  # fmt: skip
    rule = {"patching_mode": "entropy", "threshold": threshold, "threshold_add": None, "monotonicity": False}
    rule["max_patch_length"] = patching.max_length
    return args, {"entropy_model": model, "data": {"patcher_args": rule}}, notes


def _widths(parts: tuple[FlatConfig, ...]) -> Json | None:
    """What gives all of these feed-forward widths, if anything does."""
    exact = [(part.ffn_width + 0.5) / int(2 * 4 * part.width / 3) for part in parts]
    for multiple_of in (256, 128, 64, 32, 16, 8, 4, 2, 1):
        for multiplier in (1.0, 1.5, *exact):
            if all(_ffn(part.width, multiple_of, multiplier) == part.ffn_width for part in parts):
                return {"multiple_of": multiple_of, "ffn_dim_multiplier": multiplier}
    return None
