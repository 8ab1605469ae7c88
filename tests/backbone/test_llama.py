"""The flat backbone is a Llama: parity with transformers on copied weights."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from isobyte.backbone.flat import FlatModel, initialise
from isobyte.backbone.llama import from_llama, llama_config, to_llama
from isobyte.backbone.mask import CAUSAL
from isobyte.config.backbone import FlatConfig
from isobyte.errors import UserError

VOCAB = 11
SHAPES = {
    "plain": FlatConfig(layers=2, width=32, heads=4),
    "grouped": FlatConfig(layers=2, width=32, heads=4, kv_heads=2, ffn=40, rope_base=500.0, norm_eps=1e-3),
    "tied": FlatConfig(layers=2, width=32, heads=4, kv_heads=1, tied=True),
}
IDS = torch.randint(VOCAB, (2, 9), generator=torch.Generator().manual_seed(0))


def llama(shape: FlatConfig, vocab: int = VOCAB) -> LlamaForCausalLM:
    """A Llama with weights large enough to show a difference."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**llama_config(shape, vocab))).eval()
    for name, weight in model.named_parameters():
        torch.nn.init.normal_(weight, std=0.3, mean=float("norm" in name))
    return model


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_a_llama_read_in_gives_its_logits(name: str) -> None:
    shape = SHAPES[name]
    reference = llama(shape)
    model = FlatModel(shape, VOCAB)
    model.load_state_dict(from_llama(reference.state_dict(), shape, VOCAB, bos=1))
    logits = model.logits(model(IDS, CAUSAL))
    expected = reference(IDS).logits
    assert expected.std() > 1
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(model.embedding.weight[VOCAB], model.embedding.weight[1])


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_a_model_written_out_is_a_llama_that_starts_from_bos(name: str) -> None:
    shape = SHAPES[name]
    model = FlatModel(shape, VOCAB)
    model.load_state_dict(from_llama(llama(shape, VOCAB + 1).state_dict(), shape, VOCAB))
    reference = LlamaForCausalLM(LlamaConfig(**llama_config(shape, VOCAB + 1))).eval()
    written = reference.load_state_dict(to_llama(model.state_dict(), shape, input_row=True), strict=False)
    assert written.unexpected_keys == []
    assert written.missing_keys == (["lm_head.weight"] if shape.tied else [])
    reference.tie_weights()
    from_bos = torch.cat((torch.full((2, 1), VOCAB), IDS), 1)
    logits = model.logits(model(from_bos, CAUSAL))
    torch.testing.assert_close(logits, reference(from_bos).logits[..., :VOCAB], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("input_row", [True, False])
@pytest.mark.parametrize("name", SHAPES)
def test_there_and_back_is_the_same_weights(name: str, input_row: bool) -> None:
    model = FlatModel(SHAPES[name], VOCAB)
    initialise(model, seed=0)
    back = from_llama(to_llama(model.state_dict(), SHAPES[name], input_row=input_row), SHAPES[name], VOCAB)
    assert set(back) == set(model.state_dict())
    for key, weight in model.state_dict().items():
        if key == "embedding.weight" and not input_row:
            assert (back[key][VOCAB] == 0).all()
            back[key], weight = back[key][:VOCAB], weight[:VOCAB]
        assert torch.equal(back[key], weight), key


def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    shape = SHAPES["plain"]
    good = llama(shape).state_dict()
    bias = "model.layers.0.self_attn.q_proj.bias"
    with pytest.raises(UserError, match=bias):
        from_llama(good | {bias: torch.zeros(32)}, shape, VOCAB)
    with pytest.raises(UserError, match=r"model\.norm\.weight are missing"):
        from_llama({k: v for k, v in good.items() if k != "model.norm.weight"}, shape, VOCAB)
    with pytest.raises(UserError, match=r"k_proj.*misshapen"):
        from_llama(good, shape.model_copy(update={"kv_heads": 2}), VOCAB)
    with pytest.raises(UserError, match="embedding"):
        from_llama(good, shape, VOCAB + 5)
    told = FlatModel(shape, VOCAB, time_conditioning=True)
    with pytest.raises(UserError, match="no place in a Llama"):
        to_llama(told.state_dict(), shape, input_row=True)
