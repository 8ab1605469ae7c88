"""A flat backbone's weights under the names of Hugging Face's `LlamaForCausalLM`, and back.

The two differ in three ways only: query, key and value are one matrix here, and so are gate and up; and the
embedding has one more row here, the input-only id `vocab` (BOS or MASK), which the head has no column for.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from isobyte.config.backbone import FlatConfig
from isobyte.errors import UserError

Weights = Mapping[str, Tensor]


def llama_config(shape: FlatConfig, vocab: int) -> dict[str, Any]:
    """Arguments of `LlamaConfig` for this shape over `vocab` ids."""
    return {
        "vocab_size": vocab,
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn_width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.n_kv_heads,
        "hidden_act": "silu",
        "rms_norm_eps": shape.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_base},
        "tie_word_embeddings": shape.tied,
    }


def to_llama(weights: Weights, shape: FlatConfig, *, input_row: bool) -> dict[str, Tensor]:
    """The weights by their Llama names; row blocks are views of the originals.

    With `input_row` the input-only id stays, as the last of vocab + 1 ids; as an output it means nothing (its
    logit is 0, or with a tied head arbitrary), so forbid it when sampling. Without, the Llama has `vocab` ids.
    Raises UserError for weights that have no Llama form, such as those of time conditioning.
    """
    vocab = weights["embedding.weight"].shape[0] - 1
    theirs: dict[str, Tensor] = {}
    for ours, names, rows in matrices(shape):
        theirs |= zip(names, weights[ours].split(rows), strict=True)
    embedding = weights["embedding.weight"]
    theirs["model.embed_tokens.weight"] = embedding if input_row else embedding[:vocab]
    theirs["model.norm.weight"] = weights["norm.weight"]
    placed = {ours for ours, _, _ in matrices(shape)} | {"embedding.weight", "norm.weight"}
    if not shape.tied:
        head = weights["head.weight"]
        nothing = head.new_zeros(1, head.shape[1])
        theirs["lm_head.weight"] = torch.cat((head, nothing)) if input_row else head
        placed.add("head.weight")
    _refuse(set(weights) - placed, "have no place in a Llama")
    return theirs


def from_llama(theirs: Weights, shape: FlatConfig, vocab: int, *, bos: int | None = None) -> dict[str, Tensor]:
    """A Llama's weights as a `FlatModel`'s over `vocab` symbols.

    A Llama of vocab + 1 ids gives the input-only row as its last; to one of `vocab` ids a row is added: that of
    the id `bos`, or zeros. Raises UserError when tensors are missing, misshapen or left over (biases, say).
    """
    top = {"model.embed_tokens.weight", "model.norm.weight"} | (set() if shape.tied else {"lm_head.weight"})
    wanted = top.union(*(names for _, names, _ in matrices(shape)))
    _refuse(wanted - set(theirs), "are missing")
    _refuse(set(theirs) - wanted - {"lm_head.weight"}, "have no place in a flat backbone")
    embedding = theirs["model.embed_tokens.weight"]
    if embedding.shape not in ((vocab, shape.width), (vocab + 1, shape.width)):
        raise UserError(
            f"embedding is {tuple(embedding.shape)}, not {vocab} or {vocab + 1} ids of width {shape.width}",
            where="Llama weights",
            how="name the shape and the vocabulary that the weights were made with",
        )
    if len(embedding) == vocab:
        row = embedding.new_zeros(1, shape.width) if bos is None else embedding[bos : bos + 1]
        embedding = torch.cat((embedding, row))
    ours = {"embedding.weight": embedding, "norm.weight": theirs["model.norm.weight"]}
    if not shape.tied:
        ours["head.weight"] = theirs["lm_head.weight"][:vocab]
    for name, names, rows in matrices(shape):
        parts = [theirs[part] for part in names]
        _refuse((n for n, p, r in zip(names, parts, rows, strict=True) if len(p) != r), "are misshapen")
        ours[name] = torch.cat(parts) if len(parts) > 1 else parts[0]
    return ours


def matrices(
    shape: FlatConfig, blocks: str = "blocks.", layers: str = "model.layers."
) -> Iterator[tuple[str, tuple[str, ...], list[int]]]:
    """Of every weight inside the blocks: our name, the Llama names of its row blocks, and their heights."""
    d, kv, ffn = shape.width, shape.n_kv_heads * shape.head_dim, shape.ffn_width
    for layer in range(shape.layers):
        us, them = f"{blocks}{layer}.", f"{layers}{layer}."
        attention = tuple(f"{them}self_attn.{part}_proj.weight" for part in "qkv")
        gate_up = tuple(f"{them}mlp.{part}_proj.weight" for part in ("gate", "up"))
        yield us + "attention_norm.weight", (them + "input_layernorm.weight",), [d]
        yield us + "attention.qkv.weight", attention, [d, kv, kv]
        yield us + "attention.out.weight", (them + "self_attn.o_proj.weight",), [d]
        yield us + "ffn_norm.weight", (them + "post_attention_layernorm.weight",), [d]
        yield us + "ffn.gate_up.weight", gate_up, [ffn, ffn]
        yield us + "ffn.down.weight", (them + "mlp.down_proj.weight",), [d]


def _refuse(names: Iterable[str], what: str) -> None:
    if found := sorted(names):
        raise UserError(f"{', '.join(found[:3])}{' ...' if len(found) > 3 else ''} {what}", where="Llama weights")
