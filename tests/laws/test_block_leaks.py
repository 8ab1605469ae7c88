"""Blocks of hidden bytes beside a text: what a cell is asked it cannot see, and the text sees no cell (2605.08044)."""

from functools import cache

import pytest
import torch
from torch import Tensor

from isobyte.backbone.attention import ATTENTION
from isobyte.backbone.blt import model as blt_model
from isobyte.backbone.blt.network import BltNetwork
from isobyte.backbone.blt.patches import Patches
from isobyte.backbone.mask import Blocked, PatchBlocks, Patched
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.patching import StaticPatching

B, T, K = 2, 14, 4
HIDDEN = 256
STARTS = torch.zeros(B, T + 1, dtype=torch.bool)
STARTS[0, [0, 1, 4, 5, 11, 14]] = True  # six bytes in one patch, and one that opens with the byte to come
STARTS[1, [0, 1, 3, 9]] = True  # fewer patches: two blocks that are none
BLOCKS = PatchBlocks.of(STARTS, K)
BEGINS: Tensor = BLOCKS.begins_BJ
OF_CELL = torch.arange(BEGINS.shape[1]).repeat_interleave(K)
REAL = (BEGINS >= 0).repeat_interleave(K, 1)

CASES = pytest.mark.parametrize("given", ["encoder_hidden", "embedding"])
WINDOWS = pytest.mark.parametrize("window", [None, 9, 3])
KERNELS = pytest.mark.parametrize("kernel", ATTENTION)
BOTH = pytest.mark.parametrize(
    ("given", "kernel"),
    [("encoder_hidden", "explicit"), ("embedding", "explicit"), ("encoder_hidden", "sdpa"), ("embedding", "sdpa"),
     ("encoder_hidden", "flex")],
)  # fmt: skip


@cache
def net(given: str, window: int | None, kernel: str = "sdpa", *, cells: bool = True) -> BltNetwork:
    """In float64, with weights of some size, so that whatever can be seen shows."""
    config = BltConfig(
        encoder=FlatConfig(layers=1, width=16, heads=2, attention_window=4),
        latent=FlatConfig(layers=1, width=24, heads=2),
        decoder=FlatConfig(layers=2, width=16, heads=4, kv_heads=2, attention_window=window),
        patching=StaticPatching(size=3),
        hash_sizes=(3,),
        hash_vocab=31,
        decoder_input=given,  # type: ignore[arg-type]
    )
    model = BltNetwork(config, attention=kernel, cells=cells).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(1 + 0.3 * noise if parameter.ndim == 1 else noise * 1.5 / parameter.shape[1] ** 0.5)
    return model


def shown(seed: int = 0) -> Tensor:
    """BOS and bytes, then cells, some of which are hidden; [B, T + C]."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(256, (B, T + len(OF_CELL)), generator=generator)
    inputs[:, T:][torch.rand(B, len(OF_CELL), generator=generator) < 0.5] = HIDDEN
    inputs[:, 0] = 256
    return inputs


@torch.no_grad()
def answers(model: BltNetwork, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the text [B, T, 256] and of the cells [B, C, 256]."""
    logits = model.logits(model(inputs, Patched(STARTS, BLOCKS)))
    return logits[:, :T], logits[:, T:]


def moved(one: Tensor, other: Tensor) -> Tensor:
    """[B, cells]: which answers are others."""
    return (one - other).abs().amax(-1) > 1e-10


def leaking_bytes(model: BltNetwork) -> tuple[int, int]:
    """Cells that a byte at or after their block's beginning moves; and cells that one before it does not move.

    Every byte of the text is changed by itself, and what the cells hold is left alone.
    """
    inputs, late, blind = shown(), 0, 0
    before = answers(model, inputs)[1]
    begins_BC = BEGINS.repeat_interleave(K, 1)
    for place in range(1, T):
        other = inputs.clone()
        other[:, place] = (other[:, place] + 7) % 256
        changed = moved(before, answers(model, other)[1])
        late += int((changed & (place >= begins_BC) & REAL).sum())
        blind += int((~changed & (place < begins_BC)).sum())
    return late, blind


@BOTH
@WINDOWS
def test_no_byte_from_its_beginning_on_moves_a_block_and_every_one_before_it_does(
    given: str, kernel: str, window: int | None
) -> None:
    assert leaking_bytes(net(given, window, kernel)) == (0, 0)


@BOTH
def test_the_same_check_finds_a_block_that_sees_its_first_byte(
    given: str, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_more(length: int, blocks: PatchBlocks, window: int | None) -> Blocked:
        return Blocked(length, PatchBlocks(torch.where(blocks.begins_BJ < 0, -1, blocks.begins_BJ + 1), K), window)

    monkeypatch.setattr(blt_model, "Blocked", one_more)
    assert leaking_bytes(net(given, None, kernel))[0] >= K


@BOTH
def test_a_cell_moves_its_own_block_and_nothing_else(given: str, kernel: str) -> None:
    """Every other cell of its block, before it and after, and no byte of the text."""
    model, inputs = net(given, 9, kernel), shown()
    text, cells = answers(model, inputs)
    for place in range(len(OF_CELL)):
        for held in (HIDDEN, 77):
            other = inputs.clone()
            other[:, T + place] = torch.where(other[:, T + place] == held, 78, held)
            now_text, now_cells = answers(model, other)
            assert torch.equal(text, now_text)
            own = OF_CELL.eq(OF_CELL[place]).expand(B, -1)
            assert torch.equal(moved(cells, now_cells), own)


@BOTH
@WINDOWS
def test_the_text_is_answered_as_by_a_plain_network_of_the_same_weights(
    given: str, kernel: str, window: int | None
) -> None:
    model, plain = net(given, window, kernel), net(given, window, kernel, cells=False)
    own = {"decoder.mask"} | ({"decoder.embedding.weight"} if given == "encoder_hidden" else set())
    weights = {name: value for name, value in model.state_dict().items() if name not in own}
    plain.load_state_dict(weights)
    inputs = shown()
    with torch.no_grad():
        expected = plain.logits(plain(inputs[:, :T], Patched(STARTS)))
    torch.testing.assert_close(answers(model, inputs)[0], expected, rtol=0, atol=1e-11)


@torch.no_grad()
@CASES
def test_a_block_reads_the_latent_of_the_patch_before_its_own(given: str) -> None:
    """With a window of one, cells have nothing of the text but their latent."""
    decoder, generator = net(given, 1).decoder, torch.Generator().manual_seed(0)
    patches = Patches.of(STARTS)
    x_BSD = torch.randn(B, T + len(OF_CELL), 16, generator=generator, dtype=torch.float64)
    latents = torch.randn(B, patches.per_row, 24, generator=generator, dtype=torch.float64)
    before = decoder(x_BSD, latents, patches, None, BLOCKS)[:, T:]
    for patch in range(patches.per_row):
        other = latents.clone()
        other[:, patch] += 1
        after = decoder(x_BSD, other, patches, None, BLOCKS)[:, T:]
        # block j is that of patch j + 1
        assert torch.equal(moved(before, after), OF_CELL.eq(patch).expand(B, -1))


@CASES
def test_a_byte_of_its_own_patch_is_in_no_latent_that_a_block_reads(given: str) -> None:
    model, inputs = net(given, 1), shown()
    before = answers(model, inputs)[1]
    patch_BT = STARTS.long().cumsum(1)[:, :T] - 1
    for place in range(T):
        other = inputs.clone()
        other[:, place] = (other[:, place] + 7) % 256
        changed = moved(before, answers(model, other)[1])
        earlier = patch_BT[:, place, None] <= OF_CELL
        assert torch.equal(changed & REAL, earlier & REAL)


@torch.no_grad()
@CASES
@WINDOWS
def test_a_block_is_what_it_would_be_if_the_text_ended_before_it(given: str, window: int | None) -> None:
    """The layout of generation: a prefix of whole patches, and one block after it."""
    model, inputs = net(given, window), shown()
    cells = answers(model, inputs)[1].unflatten(1, (-1, K))
    held = inputs[:, T:].unflatten(1, (-1, K))
    for row in range(B):
        for j, begin in enumerate(BEGINS[row].tolist()):
            if begin < 0:
                continue
            starts = STARTS[row : row + 1, : begin + 1]
            whole = PatchBlocks.of(starts, K)
            assert whole.begins_BJ[0, -1] == begin
            other = torch.full((1, (j + 1) * K), HIDDEN)
            other[0, -K:] = held[row, j]
            h = model(torch.cat((inputs[row : row + 1, :begin], other), 1), Patched(starts, whole))
            torch.testing.assert_close(model.logits(h)[0, -K:], cells[row, j], rtol=0, atol=1e-11)


@torch.no_grad()
@WINDOWS
@KERNELS
def test_a_block_of_one_byte_in_clear_is_that_byte_of_the_text(window: int | None, kernel: str) -> None:
    """Same place, same latent, same keys: wherever a patch has two bytes, its first reads the latent before it."""
    model, text = net("embedding", window, kernel), shown()[:, :T]
    blocks = PatchBlocks.of(STARTS, 1)
    begins_BJ = blocks.begins_BJ
    longer = (begins_BJ >= 0) & (begins_BJ < T - 1) & ~STARTS.gather(1, begins_BJ.clamp(0, T - 1) + 1)
    places = begins_BJ.clamp(0, T - 1)
    logits = model.logits(model(torch.cat((text, text.gather(1, places)), 1), Patched(STARTS, blocks)))
    of_text = logits[:, :T].gather(1, places[..., None].expand(-1, -1, 256))
    assert int(longer.sum()) == 6
    torch.testing.assert_close(logits[:, T:][longer], of_text[longer], rtol=0, atol=1e-11)
    assert moved(logits[:, T:], of_text)[~longer & (begins_BJ >= 0)].all()
