"""The Byte Latent Transformer's weights under the names of transformers and of the released code, and back.

The numbers are the same but for three things: query, key and value are one matrix here, and so are gate and up, and
cross-attention's key and value; rotary positions turn the two halves of a head here and neighbouring pairs there, so
rows of queries and keys change places; and the scorer's embedding has one more row here, which is never used.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from isobyte.backbone.byte_ids import COUNT, OFFSET
from isobyte.backbone.llama import matrices
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.patching import EntropyPatching, FlatScorer
from isobyte.errors import UserError

Tensors = Mapping[str, Tensor]
HEAD = "head.weight"
NEVER = OFFSET + 0xFF
"""The id of the byte 0xFF, which UTF-8 never has."""


@dataclass(frozen=True)
class Weight:
    """One tensor of ours and the tensors of theirs that are its rows, from above."""

    name: str
    theirs: tuple[str, ...]
    rows: tuple[int, ...]
    """Of each of theirs."""
    columns: int | None = None
    """None of a vector."""
    heads: tuple[int, ...] = ()
    """Of each of theirs where it is turned by rotary positions, else 0."""
    spare: int = 0
    """Rows of zeros that ours has more, at the end."""

    def shape(self, part: int) -> tuple[int, ...]:
        return (self.rows[part],) if self.columns is None else (self.rows[part], self.columns)

    def read(self, theirs: Tensors) -> Tensor:
        parts = [theirs[name] for name in self.theirs]
        if self.heads:
            parts = [halves(part, heads) if heads else part for part, heads in zip(parts, self.heads, strict=True)]
        if self.spare:
            parts.append(parts[-1].new_zeros(self.spare, *parts[-1].shape[1:]))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def write(self, ours: Tensor) -> dict[str, Tensor]:
        parts = ours[: sum(self.rows)].split(self.rows)
        if self.heads:
            parts = [pairs(part, heads) if heads else part for part, heads in zip(parts, self.heads, strict=True)]
        return dict(zip(self.theirs, (part.contiguous() for part in parts), strict=True))


def halves(weight: Tensor, heads: int) -> Tensor:
    """Rows of heads whose coordinates are neighbours -> rows whose coordinates are half a head apart."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def pairs(weight: Tensor, heads: int) -> Tensor:
    """The inverse of `halves`."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def weights_of(shape: BltConfig) -> list[Weight]:
    """Every tensor of a model of this shape, but for its thresholds, named as in transformers' `BltForCausalLM`."""
    e, d, g, k = shape.encoder.width, shape.decoder.width, shape.latent.width, shape.latents
    encoder, latent, decoder = "model.local_encoder.", "model.global_transformer.", "model.local_decoder."
    found = [Weight("encoder.embedding.weight", (encoder + "embed_tokens.weight",), (COUNT,), e)]
    if shape.hash_sizes:
        tables = shape.hash_functions * len(shape.hash_sizes)
        name = "model.encoder_hash_tok_embedding.weight"
        found.append(Weight("encoder.hashes.weight", (name,), (tables * shape.hash_vocab,), e))
    found += _blocks(shape.encoder, "encoder.stack.blocks.", encoder + "layers.")
    found.append(Weight("encoder.pool.weight", (encoder + "patch_embedding_projection.weight",), (k * e,), e))
    pools = shape.encoder.layers if shape.encoder_cross_layers == "all" else 1
    for nth in range(pools):
        found += _cross(e, f"encoder.cross.{nth}.", f"{encoder}cross_attn_layers.{nth}.")
    if k * e != g:
        found.append(Weight("latent.enter.weight", (latent + "token_embedding_projection.weight",), (g,), k * e))
    found += _blocks(shape.latent, "latent.stack.blocks.", latent + "layers.")
    found.append(Weight("decoder.enter.weight", (decoder + "patch_embedding_projection.weight",), (k * d,), g))
    found += _blocks(shape.decoder, "decoder.stack.blocks.", decoder + "layers.")
    for nth in range(shape.decoder.layers if shape.decoder_cross_layers == "all" else 1):
        found += _cross(d, f"decoder.cross.{nth}.", f"{decoder}cross_attn_layers.{nth}.")
    found.append(Weight("decoder.norm.weight", (decoder + "norm.weight",), (d,)))
    found.append(Weight(HEAD, ("lm_head.weight",), (COUNT,), d))
    if isinstance(shape.patching, EntropyPatching) and isinstance(shape.patching.scorer, FlatScorer):
        found += scorer_weights(shape.patching.scorer.shape)
    return found


def scorer_weights(shape: FlatConfig) -> Iterator[Weight]:
    """The network that patches are made by."""
    us, them, width = "patcher.scorer.", "model.patcher.", shape.width
    yield Weight(us + "embedding.weight", (them + "embed_tokens.weight",), (COUNT,), width, spare=1)
    yield from _blocks(shape, us + "blocks.", them + "layers.")
    yield Weight(us + "norm.weight", (them + "norm.weight",), (width,))
    yield Weight(us + HEAD, (them + "lm_head.weight",), (COUNT,), width)


def _blocks(shape: FlatConfig, us: str, them: str) -> Iterator[Weight]:
    for name, theirs, rows in matrices(shape, us, them):
        if "norm" in name:
            yield Weight(name, theirs, tuple(rows))
            continue
        heads = (shape.heads, shape.n_kv_heads, 0) if name.endswith("qkv.weight") else ()
        columns = shape.ffn_width if name.endswith("down.weight") else shape.width
        yield Weight(name, theirs, tuple(rows), columns, heads)


def _cross(width: int, us: str, them: str) -> Iterator[Weight]:
    yield Weight(us + "query_norm.weight", (them + "q_norm.weight",), (width,))
    yield Weight(us + "held_norm.weight", (them + "k_norm.weight",), (width,))
    yield Weight(us + "query.weight", (them + "q_proj.weight",), (width,), width)
    both = (them + "k_proj.weight", them + "v_proj.weight")
    yield Weight(us + "key_value.weight", both, (width, width), width)
    yield Weight(us + "out.weight", (them + "o_proj.weight",), (width,), width)


_OFFICIAL = {
    "self_attn": "attention", "q_proj": "wq", "k_proj": "wk", "v_proj": "wv", "o_proj": "wo",
    "mlp": "feed_forward", "gate_proj": "w1", "down_proj": "w2", "up_proj": "w3",
    "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
    "embed_tokens": "tok_embeddings", "q_norm": "cross_attn_norm_q", "k_norm": "cross_attn_norm_kv",
    "lm_head": "output",
}  # fmt: skip


def official(weights: Iterable[Weight], hash_vocab: int) -> list[Weight]:
    """The same with the released code's names, and a tensor per hash table; the scorer's begin with `patcher.`."""
    found: list[Weight] = []
    for weight in weights:
        if weight.name == "encoder.hashes.weight":
            tables = weight.rows[0] // hash_vocab
            names = tuple(f"encoder_hash_tok_embedding.{nth}.weight" for nth in range(tables))
            found.append(replace(weight, theirs=names, rows=(hash_vocab,) * tables))
        else:
            found.append(replace(weight, theirs=tuple(map(_official, weight.theirs))))
    return found


def _official(name: str) -> str:
    if name == "lm_head.weight":
        return "local_decoder.output.weight"
    return ".".join(_OFFICIAL.get(word, word) for word in name.removeprefix("model.").split("."))


def read_weights(theirs: Tensors, weights: list[Weight], where: str) -> dict[str, Tensor]:
    """Our tensors. Raises one UserError that names all of theirs that are missing, left over or misshapen."""
    shapes = {name: weight.shape(part) for weight in weights for part, name in enumerate(weight.theirs)}
    wrong = {
        "missing": sorted(shapes.keys() - theirs.keys()),
        "not known": sorted(theirs.keys() - shapes.keys()),
        "misshapen": [
            f"{name} {tuple(theirs[name].shape)}, not {shape}"
            for name, shape in sorted(shapes.items())
            if name in theirs and tuple(theirs[name].shape) != shape
        ],
    }
    if any(wrong.values()):
        what = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in wrong.items() if names)
        raise UserError(f"tensors do not fit the config ({what})", where=where, how="take both from one checkpoint")
    return {weight.name: weight.read(theirs) for weight in weights}


def write_weights(ours: Tensors, weights: list[Weight]) -> dict[str, Tensor]:
    """Their tensors. Raises UserError where one of ours is missing."""
    if missing := sorted(weight.name for weight in weights if weight.name not in ours):
        raise UserError(f"tensors are missing: {', '.join(missing)}", where="model.safetensors", how="train again")
    theirs: dict[str, Tensor] = {}
    for weight in weights:
        theirs |= weight.write(ours[weight.name])
    return theirs


def thresholds(patching: EntropyPatching) -> dict[str, Tensor]:
    """The buffers of a patcher whose thresholds are given."""
    given = {"threshold": patching.threshold, "rise": patching.rise}
    return {f"patcher.{name}": torch.tensor(float("nan") if x is None else x) for name, x in given.items()}


def silenced(head: Tensor) -> Tensor:
    """A head [260, D] whose rows of ids that are no byte, never trained here, say what byte 0xFF's says."""
    return torch.cat((head[NEVER].expand(OFFSET, -1), head[OFFSET:]))
