"""What `isobyte bench sample` measures: a Byte Latent Transformer, texts to go on from, and the same one elsewhere."""

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from isobyte.backbone import half
from isobyte.backbone.blt.interchange import weights_of, write_weights
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.blt.transformers_config import write_config
from isobyte.backbone.byte_ids import BOS, OFFSET
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.patching import EntropyPatching, FlatScorer
from isobyte.config.recipes import load_recipe
from isobyte.config.run import RunConfig
from isobyte.data.stream import Stream
from isobyte.decode.blt import generate
from isobyte.decode.blt_settings import Settings
from isobyte.errors import UserError
from isobyte.evaluate.bpb import held_out_text
from isobyte.evaluate.loaded import check_writes_text, load_run
from isobyte.random import generator

TRIALS = 14
"""Steps of the search for a threshold."""


def _part(layers: int, width: int, heads: int, window: int | None, base: float) -> FlatConfig:
    ffn = -(-int(8 * width / 3) // 256) * 256
    return FlatConfig(layers=layers, width=width, heads=heads, ffn=ffn, rope_base=base, attention_window=window)


SMALL = BltConfig(
    encoder=_part(1, 256, 4, 512, 5e5),
    decoder=_part(4, 256, 4, 512, 5e5),
    latent=_part(8, 512, 8, None, 5e5),
    patching=EntropyPatching(scorer=FlatScorer(shape=_part(4, 256, 4, 512, 1e4)), mean_length=2.5),
    latents=2,
    hash_vocab=20_000,
    cross_residual="doubled",
    document_mask=False,
)
"""66 million parameters, everything as in the released models."""


@dataclass(frozen=True)
class Subject:
    """A model, its weights laid out for decoding, and prompts of ids."""

    name: str
    model: BltModel
    packed: Packed
    prompts: list[list[int]]
    random: bool
    """Whether its weights are."""


def subject(
    source: str | None,
    *,
    prompts: int,
    prompt_bytes: int,
    device: torch.device,
    mean_length: float = 2.5,
    data: Path | None = None,
    dtype: torch.dtype = torch.float32,
    halves: bool | None = None,
) -> Subject:
    """A run's model, or one of a recipe's shape, or the usual one, with random weights.

    Random weights get random prompts, and a threshold that makes about `mean_length` bytes per patch of what is
    generated; a run goes on from places in `data`, or in its held-out text. With `halves` every weight is rounded to
    fp16; None does so where weights are random and lie in 16 bits then. Raises UserError for backbones of another kind,
    and for `halves` where fp16 weights cannot be read.
    """
    if source is not None and Path(source).is_dir():
        run = load_run(Path(source), str(device))
        if not isinstance(run.model, BltModel):
            raise UserError("its backbone is flat", where=source, how="name a run of backbone blt")
        check_writes_text(run.config, Path(source))
        texts = _passages(held_out_text(Path(source), run, data), prompts, prompt_bytes)
        model = run.model.to(dtype)
        if halves:
            half.check_possible(model)
            half.round_to_half(model)
        return Subject(source, model, Packed(model), texts, random=False)
    shape = SMALL if source is None else load_recipe(source, RunConfig).backbone
    if not isinstance(shape, BltConfig):
        raise UserError("its backbone is flat", where=source or "", how="name a recipe of backbone blt")
    model = random_model(shape).to(device, dtype)
    if halves:
        half.check_possible(model)
    if halves or (halves is None and half.possible(model)):
        half.round_to_half(model)
    texts = _random_prompts(prompts, prompt_bytes)
    packed = Packed(model)
    if isinstance(shape.patching, EntropyPatching):
        set_threshold(model, packed, texts[0], mean_length)
    return Subject(source or "66M", model, packed, texts, random=True)


@torch.no_grad()
def random_model(shape: BltConfig, seed: int = 0) -> BltModel:
    """Weights of one size, the head's and the scorer's too, so that bytes and surprise vary."""
    draw = torch.Generator().manual_seed(seed)
    model = BltModel(shape).eval()
    for name, weight in model.named_parameters():
        scale = 1.0 if name.endswith("embedding.weight") else weight.shape[-1] ** -0.5
        weight.copy_(torch.ones_like(weight) if weight.ndim == 1 else scale * torch.randn(weight.shape, generator=draw))
    return model


def set_threshold(model: BltModel, packed: Packed, prompt: list[int], mean_length: float, length: int = 192) -> None:
    """By bisection between the least and the most surprise, on bytes that the model generates: they depend on it."""
    if model.patcher.config.kind != "entropy" or model.patcher.config.rule != "global":
        raise UserError("only global thresholds are searched for", where="patching.rule", how="take rule = 'global'")
    entropies = model.patcher.entropies(torch.tensor([prompt], device=model.patcher.device))
    assert entropies is not None
    low, high = float(entropies.min()), float(entropies.max())
    best = (float("inf"), (low + high) / 2)
    for _ in range(TRIALS):
        middle = (low + high) / 2
        model.patcher.threshold.fill_(middle)
        found = generate(model, [prompt], Settings(length, temperature=0), packed=packed).output.bytes_per_patch
        found = found or float("inf")
        best = min(best, (abs(found - mean_length), middle))
        if best[0] < 0.05 * mean_length:
            break
        low, high = (low, middle) if found > mean_length else (middle, high)
    model.patcher.threshold.fill_(best[1])


def _random_prompts(count: int, length: int) -> list[list[int]]:
    symbols = generator(0, "bench sample").integers(0, 256, (count, length))
    return [[BOS, *(row + OFFSET).tolist()] for row in symbols]


def _passages(text: Stream, count: int, length: int) -> list[list[int]]:
    """From places that are evenly spread."""
    if len(text) < count * length:
        raise UserError(f"{len(text)} bytes", where="--data", how=f"give at least {count * length}")
    starts = [n * (len(text) // count) for n in range(count)]
    return [[BOS, *(text.read(at, at + length).astype(int) + OFFSET).tolist()] for at in starts]


class Theirs:
    """transformers' `BltForCausalLM` with the same weights; without its cache, which is wrong where it runs at all."""

    def __init__(self, model: BltModel, positions: int) -> None:
        """Raises UserError where transformers is missing, or has no word for something in the shape."""
        try:
            import transformers
        except ImportError:
            raise UserError(
                "transformers is not installed", where="bench sample", how='install it: pip install "isobyte[dev]"'
            ) from None
        patching = model.shape.patching
        threshold = float(model.patcher.threshold) if isinstance(patching, EntropyPatching) else None
        config, self.notes = write_config(model.shape, threshold, positions)
        self.version = transformers.__version__
        device = model.head.weight.device
        made: Any = transformers.BltForCausalLM(transformers.BltConfig.from_dict(config))
        self.model: Any = made.eval().to(device)
        self.model.load_state_dict(write_weights(model.state_dict(), weights_of(model.shape)), strict=True)

    @torch.inference_mode()
    def generate(self, prompt: list[int], length: int) -> tuple[list[int], float]:
        """Ids of the likeliest bytes, and seconds."""
        ids = torch.tensor([prompt], device=self.model.device)
        begun = time.perf_counter()
        found = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=length, min_new_tokens=length, do_sample=False,
            use_cache=False, suppress_tokens=list(range(OFFSET)), pad_token_id=0,
        )  # fmt: skip
        made = found[0, len(prompt) :].tolist()
        return made, time.perf_counter() - begun

    @torch.inference_mode()
    def seconds(self, ids: list[int], points: tuple[int, ...]) -> float:
        """What a call for each of `points[0]`..`points[-1]` bytes of a text would take together: measured at the
        points, on straight lines between."""
        taken = []
        for length in points:
            x = torch.tensor([ids[:length]], device=self.model.device)
            runs = []
            for _ in range(2):
                begun = time.perf_counter()
                float(self.model(input_ids=x, use_cache=False, logits_to_keep=1).logits.sum())
                runs.append(time.perf_counter() - begun)
            taken.append(min(runs))
        pieces = itertools.pairwise(zip(points, taken, strict=True))
        return sum((b - a) * (s + t) / 2 for (a, s), (b, t) in pieces)
