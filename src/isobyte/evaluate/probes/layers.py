"""What can be read off the hidden states of each layer, by a linear probe.

The state at a byte is that of the cell that holds it, after the embedding (layer 0) and after every block. Of a network
that goes from left to right it has seen the byte and those before it in its window; of one that sees both ways, all
bytes (`shown`). Of the latter a second state is probed, with the byte hidden, or its whole word (`hidden`): there the
context alone tells, and of a word its length, which is that of the gap. Probed are

- `boundary`: whether a token of a BPE begins at the next byte;
- `word`: which of the commonest words of the training text ends at this byte, all of it in the window;
- `utf8`: how many bytes of its character come before this one in the window, 0 to 3. ASCII has no others.

A probe is multinomial logistic regression with a ridge (`probes.linear`), fitted on some windows and scored on others.
`information` is the bits by which it betters the frequencies of the classes there, below 0 where it overfits. `control`
is the accuracy of the same probe for labels drawn at random for each byte value, or word (control tasks, Hewitt &
Liang, arXiv 1909.03368), and `selectivity` the accuracy above it. Standard errors are over windows.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.backbone.flat import FlatModel
from isobyte.config import objective as kinds
from isobyte.config.run import RunConfig
from isobyte.data.stream import Stream
from isobyte.evaluate.loaded import LoadedRun
from isobyte.evaluate.probes.common import ProbeSettings, spread_windows, training_text
from isobyte.evaluate.probes.linear import Split, by_window, common_classes, frequencies, probe
from isobyte.evaluate.probes.segmentation import token_starts, tokenizer_of
from isobyte.evaluate.probes.subject import hides_any, unasked
from isobyte.likelihood.passes import rows_at_once
from isobyte.objective.any_order import order_view
from isobyte.objective.ar import ar_view
from isobyte.objective.base import View
from isobyte.objective.block import block_view
from isobyte.objective.eso import diffusion_view
from isobyte.objective.masked import masked_view
from isobyte.random import generator

BYTES = 32_768
EXAMPLES = 2048
"""Of each target, at most: most of the time goes into one pass for each that is hidden."""
WORDS = 50
_WORD = re.compile(rb"(?<![A-Za-z\x80-\xff])[A-Za-z\x80-\xff]{2,}(?![A-Za-z\x80-\xff])")


class Examples(NamedTuple):
    """N bytes of windows, each with a class, and what is hidden with it: the `length` bytes that end there."""

    window_N: NDArray[np.int64]
    place_N: NDArray[np.int64]
    length_N: NDArray[np.int64]
    label_N: NDArray[np.int64]
    identity_N: NDArray[np.int64]
    """What a control task draws labels for."""

    def some(self, kept: NDArray[Any]) -> "Examples":
        return Examples(*(each[kept] for each in self))


def probe_layers(run: LoadedRun, stream: Stream, settings: ProbeSettings) -> dict[str, Any]:
    """See above."""
    window = run.config.train.window
    x_WT = spread_windows(stream, window, settings.windows(max(16, BYTES // window), window), "the text")
    tokenizer = tokenizer_of(run, settings)
    words = common_words(training_text(run, settings))
    places = draw_places(x_WT, settings.seed)
    targets = {
        "boundary": labelled(x_WT, places, np.roll(token_starts(tokenizer, x_WT), -1, 1).astype(np.int64)),
        "word": word_examples(x_WT, words, settings.seed),
        "utf8": labelled(x_WT, places, utf8_places(x_WT)),
    }
    found = {name: measure_layers(run, x_WT, examples, name, settings.seed) for name, examples in targets.items()}
    return {
        "unit": "window",
        "windows": len(x_WT),
        "words": [word.decode("utf-8", "replace") for word in words],
        "tokenizer": tokenizer.record(),
        "targets": found,
    }


def lacks_layers(config: RunConfig) -> str | None:
    if (why := unasked(config)) is not None:
        return why
    if config.representation.kind != "bytes":
        return "its symbols are not bytes"
    if config.backbone.kind != "flat":
        return "its layers hold patches beside bytes"
    if isinstance(config.objective, kinds.DigitsConfig):
        return "its cells hold digits"
    return None if config.train.window >= 8 else f"windows of {config.train.window} are too short"


def measure_layers(run: LoadedRun, x_WT: NDArray[np.int64], examples: Examples, name: str, seed: int) -> dict[str, Any]:
    """Each layer's probe of one target, by view; no views and a `reason` where there is nothing to tell apart."""
    examples = examples.some(common_classes(examples.label_N, Split(examples.window_N)))
    split = Split(examples.window_N)
    parts = [examples.label_N[part] for part in (split.fit, split.choose, split.test)]
    if min(len(np.unique(part)) for part in (parts[0], parts[2])) < 2 or not len(parts[1]):
        return {"views": None, "reason": "too few bytes of the windows are of another class than the others"}
    base = frequencies(examples.label_N, split)
    control_N = control_labels(examples, name, seed)
    views = {}
    for view in ("shown", "hidden") if hides(run.config) else ("shown",):
        layers = []
        for layer, state_ND in enumerate(states(run, x_WT, examples, hidden=view == "hidden")):
            own, other = probe(state_ND, examples.label_N, split), probe(state_ND, control_N, split)
            layers.append(
                {
                    "layer": layer,
                    "information": by_window(base.bits_N - own.bits_N, split),
                    "accuracy": by_window(own.correct_N, split),
                    "control": by_window(other.correct_N, split),
                    "selectivity": by_window(own.correct_N.astype(int) - other.correct_N, split),
                }
            )
        views[view] = layers
    return {
        "classes": len(np.unique(examples.label_N)),
        "examples": {"fit": int((~split.test).sum()), "test": int(split.test.sum())},
        "entropy_bits": by_window(base.bits_N, split),
        "majority": by_window(base.correct_N, split),
        "views": views,
    }


def hides(config: RunConfig) -> bool:
    """Whether a byte can be hidden from the cell that stands for it, all else shown."""
    return not isinstance(config.objective, kinds.AnyOrderConfig) and hides_any(config.objective, config.train.window)


@contextmanager
def recorded(model: FlatModel) -> Iterator[list[Any]]:
    """The hidden states [B, S, D] that a pass leaves: of the embedding, then of each block. By hooks, for a while."""
    layers: list[Any] = []

    def keep_embedding(_block: object, inputs: tuple[Any, ...]) -> None:
        layers[:] = [inputs[0]]

    hooks = [model.blocks[0].register_forward_pre_hook(keep_embedding)]
    hooks += [block.register_forward_hook(lambda _block, _inputs, out: layers.append(out)) for block in model.blocks]
    try:
        yield layers
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def states(run: LoadedRun, x_WT: NDArray[np.int64], examples: Examples, *, hidden: bool) -> NDArray[np.float32]:
    """[layers + 1, N, D] at the bytes of the examples; a pass for each where it is hidden, else for each window."""
    model, length = run.model, x_WT.shape[1]
    assert isinstance(model, FlatModel)
    if hidden:
        place_T = np.arange(length)
        ends_N1 = examples.place_N[:, None]
        hidden_RT = (place_T <= ends_N1) & (place_T > ends_N1 - examples.length_N[:, None])
        x_RT, row_N = x_WT[examples.window_N], np.arange(len(examples.place_N))
    else:
        x_RT, row_N, hidden_RT = x_WT, examples.window_N, np.zeros(x_WT.shape, bool)
    rows, found = rows_at_once(length, model.vocab), []
    order_N = np.argsort(row_N, kind="stable")
    with recorded(model) as layers:
        for first in range(0, len(x_RT), rows):
            part = slice(first, first + rows)
            x, masked = (torch.from_numpy(each[part]).to(run.device) for each in (x_RT, hidden_RT))
            view, shift = view_of(run.config.objective, x, masked, model.vocab)
            model(view.inputs, view.mask, positions=view.positions, time_B=view.time_B)
            here_N = order_N[(row_N[order_N] >= first) & (row_N[order_N] < first + rows)]
            at = (row_N[here_N] - first, examples.place_N[here_N] + shift)
            found.append(torch.stack(layers)[:, at[0], at[1]].float().cpu().numpy())
    state_LND = np.concatenate(found, 1)
    return state_LND[:, np.argsort(order_N)]


def view_of(objective: kinds.Objective, x_NT: Tensor, hidden_NT: Tensor, vocab: int) -> tuple[View, int]:
    """What shows the windows but for what is hidden, and how far after byte 0's place its cell stands."""
    match objective:
        case kinds.CausalConfig():
            return ar_view(x_NT, vocab), 1
        case kinds.AnyOrderConfig():
            return order_view(x_NT, torch.arange(x_NT.shape[1], device=x_NT.device).expand_as(x_NT), vocab), 1
        case kinds.BlockConfig():
            return block_view(x_NT, hidden_NT, objective.block, vocab), 0
        case kinds.EsoConfig():
            key_T = torch.linspace(0, 1, x_NT.shape[1] + 1, device=x_NT.device)[:-1].double()
            return diffusion_view(x_NT, hidden_NT, key_T.expand(x_NT.shape), vocab, cached=objective.cached), 0
    told = objective.time_conditioning
    return masked_view(x_NT, hidden_NT, vocab, hidden_NT.float().mean(1) if told else None), 0


def draw_places(x_WT: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Windows and places of bytes, as many of each window, none of them its last byte."""
    windows, length = x_WT.shape
    each = min(length - 1, max(1, EXAMPLES // windows))
    place = generator(seed, "probed bytes").random((windows, length - 1)).argsort(1)[:, :each]
    return np.repeat(np.arange(windows), each), place.ravel()


def labelled(
    x_WT: NDArray[np.int64], places: tuple[NDArray[np.int64], NDArray[np.int64]], label_WT: NDArray[np.int64]
) -> Examples:
    """Single bytes with the labels of their places."""
    return Examples(*places, np.ones(len(places[0]), np.int64), label_WT[places], x_WT[places])


def word_examples(x_WT: NDArray[np.int64], words: list[bytes], seed: int) -> Examples:
    """The last bytes of those `words` that the windows hold whole, with what is beside them; not the last byte."""
    index = {word: number for number, word in enumerate(words)}
    found = [
        (window, match.end() - 1, len(match[0]), index[match[0]], index[match[0]])
        for window, x_T in enumerate(x_WT)
        for match in _WORD.finditer(x_T.astype(np.uint8).tobytes())
        if match[0] in index and match.start() > 0 and match.end() < len(x_T)
    ]
    rows = np.array(found, np.int64).reshape(-1, 5)
    kept = np.sort(generator(seed, "probed words").permutation(len(rows))[:EXAMPLES])
    return Examples(*rows[kept].T)


def common_words(texts: list[bytes]) -> list[bytes]:
    """The `WORDS` commonest runs of at least two letters, bytes beyond ASCII among them."""
    counts = Counter(word for text in texts for word in _WORD.findall(text))
    return [word for word, _ in sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:WORDS]]


def utf8_places(x_WT: NDArray[np.int64]) -> NDArray[np.int64]:
    """[W, T] continuation bytes up to this one, at most 3; 0 of all others."""
    follows = (x_WT & 0xC0) == 0x80
    place_WT = np.zeros(x_WT.shape, np.int64)
    for place in range(x_WT.shape[1]):
        before = place_WT[:, place - 1] if place else 0
        place_WT[:, place] = np.where(follows[:, place], np.minimum(before + 1, 3), 0)
    return place_WT


def control_labels(examples: Examples, name: str, seed: int) -> NDArray[np.int64]:
    """For each identity a class drawn by the classes' frequencies, two at the least."""
    table = {
        int(identity): int(generator(seed, "control", name, int(identity)).choice(examples.label_N))
        for identity in np.unique(examples.identity_N)
    }
    return np.array([table[identity] for identity in examples.identity_N.tolist()], np.int64)
