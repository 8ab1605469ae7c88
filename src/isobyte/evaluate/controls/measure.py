"""The controls of a design: of what it reads, and of what it is shown when it is asked."""

import copy
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isobyte.config.base import Config
from isobyte.config.objective import Objective, PatchMaskedConfig
from isobyte.config.permutation import Permutation
from isobyte.config.representation import Representation
from isobyte.config.run import RunConfig
from isobyte.config.study import DesignConfig
from isobyte.data.stream import Stream
from isobyte.data.window import EvalWindows
from isobyte.errors import UserError
from isobyte.evaluate.controls import text as measures
from isobyte.evaluate.controls.visible import NEARNESS, REACH, Ints, nearness
from isobyte.objective.permutation import TRAINING, Reading
from isobyte.representation import Representation as Alphabet
from isobyte.representation.bpe import Bpe
from isobyte.representation.bytes_ import Bytes

MAX_BYTES = 200_000
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
NGRAMS = (2, 3, 4)


class Subject(Config):
    """All of a design that controls depend on; its `content_hash` is the key of what was measured."""

    representation: Representation
    permutation: Permutation | None
    objective: Objective
    window: int


def subject(config: RunConfig | DesignConfig) -> Subject:
    """Of a run, or of a design of a study."""
    window = config.train.window if isinstance(config, RunConfig) else config.tuning.window
    return Subject(
        representation=config.representation, permutation=config.permutation, objective=config.objective, window=window
    )


def controls(
    config: RunConfig | DesignConfig,
    text: Stream,
    tokens: Alphabet | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    seed: int = 0,
) -> dict[str, Any]:
    """`permutation_controls` of a run or of a design of a study."""
    return permutation_controls(subject(config), text, tokens, max_bytes=max_bytes, seed=seed)


def permutation_controls(
    of: Subject, text: Stream, tokens: Alphabet | None = None, *, max_bytes: int = MAX_BYTES, seed: int = 0
) -> dict[str, Any]:
    """What `of` reads and is shown, measured on whole windows of `text` (in its representation), as strict JSON.

    A function of its arguments alone. `tokens` is the BPE whose tokens are counted in what is read. What cannot be
    measured is None, and `left_out` says why. Means come with the standard error over windows.
    Raises UserError for a text shorter than a window.
    """
    excerpt = _Excerpt(text, of.permutation, of.window, max_bytes, seed)
    x_NT, told, left_out = _windows(excerpt), _told(replace(excerpt, permutation=None)), _left_out(of, tokens)
    reach = min(REACH, of.window - 1)
    bits_D = None if told is None else np.array([told[lag].bits for lag in range(1, reach + 1)])
    near: dict[str, Any] = dict.fromkeys(NEARNESS)
    if "nearest" not in left_out:
        found = nearness(of.objective, x_NT, _places(excerpt), _byte_lengths(text.representation), bits_D, seed)
        near = asdict(found)
    return {
        "key": of.content_hash(), **of.model_dump(mode="json"),
        "windows": len(x_NT), "symbols": x_NT.size, "bytes": int(text.representation.count_bytes(x_NT).sum()),
        "max_bytes": max_bytes, "seed": seed,
        **copy.deepcopy(_of_reading(excerpt, tokens)), **near,
        "reach": reach, "left_out": left_out,
    }  # fmt: skip


def _left_out(of: Subject, tokens: Alphabet | None) -> dict[str, str]:
    """What cannot be measured, and why."""
    found = {}
    if of.representation.kind == "bpe":
        why = "symbols are tokens: too many pairs of them for so little text"
        found |= {"mutual_information": why, "information": why}
    if of.representation.kind != "bytes":
        found["ngram_overlap"] = "counted on bytes alone"
    if tokens is None:
        found["bytes_per_token"] = "no tokenizer was given"
    if isinstance(of.objective, PatchMaskedConfig):
        found |= dict.fromkeys(NEARNESS, "what is hidden together is decided by the network's own patcher")
    return found


def _byte_lengths(alphabet: Alphabet) -> NDArray[np.float64]:
    """[vocab]: bytes of each symbol; of a digit, its share of one."""
    if isinstance(alphabet, Bpe):
        return alphabet.byte_lengths().astype(np.float64)
    return np.full(alphabet.vocab_size, 1 / alphabet.digits_per_byte)


@dataclass(frozen=True)
class _Excerpt:
    """What is read. Designs that differ in their objective alone share what is measured of it."""

    text: Stream
    permutation: Permutation | None
    window: int
    max_bytes: int
    seed: int


_kept = lru_cache(maxsize=16)


@_kept
def _of_reading(of: _Excerpt, tokens: Alphabet | None) -> dict[str, Any]:
    """What does not depend on the objective."""
    x_NT, read_NT, alphabet = _windows(of), _read(of), of.text.representation
    found: dict[str, Any] = {
        "histogram": {
            "total_variation": measures.total_variation(read_NT, x_NT, alphabet.vocab_size),
            "entropy": asdict(measures.entropy(read_NT, alphabet.vocab_size)),
        },
        "mutual_information": None,
        "ngram_overlap": None,
        "bytes_per_token": None,
    }
    text, read = _told(replace(of, permutation=None)), _told(of)
    if text is not None and read is not None:
        lags = [lag for lag in LAGS if lag < of.window]
        found["mutual_information"] = {
            name: {str(lag): asdict(told[lag]) for lag in lags} for name, told in (("text", text), ("read", read))
        }
    if isinstance(alphabet, Bytes):
        fitting = [n for n in NGRAMS if n <= of.window]
        found["ngram_overlap"] = {str(n): asdict(measures.ngram_overlap(read_NT, x_NT, n)) for n in fitting}
    if tokens is not None:
        both = {"text": x_NT, "read": read_NT}
        counted = {
            name: asdict(measures.bytes_per_token([alphabet.decode(row) for row in rows], tokens))
            for name, rows in both.items()
        }
        found["bytes_per_token"] = {**counted, "vocab_size": tokens.vocab_size}
    return found


@_kept
def _told(of: _Excerpt) -> dict[int, measures.Told] | None:
    """By lag, of symbols as they are read; as they stand, at every lag that `information` may need. None for tokens."""
    if isinstance(of.text.representation, Bpe):
        return None
    lags = LAGS if of.permutation is not None else range(1, max(REACH, *LAGS) + 1)
    return measures.mutual_information(_read(of), lags, of.seed)


@_kept
def _windows(of: _Excerpt) -> Ints:
    """[N, window]: the whole ones of an excerpt."""
    excerpt = EvalWindows(of.text, of.window, of.max_bytes).stream
    count = len(excerpt) // of.window
    if not count:
        raise UserError(
            f"the text has {len(excerpt)} symbols, a window has {of.window}", how="give more text or a shorter window"
        )
    return excerpt.read(0, count * of.window).reshape(count, of.window).astype(np.int64)


@_kept
def _places(of: _Excerpt) -> Ints:
    """[N, window]: where in its window each symbol that is read stood; orders are numbered as those of training."""
    x_NT = _windows(of)
    if of.permutation is None:
        return np.tile(np.arange(of.window), (len(x_NT), 1))
    return Reading(of.permutation, of.window).places(x_NT, TRAINING, np.arange(len(x_NT)))


def _read(of: _Excerpt) -> Ints:
    return np.take_along_axis(_windows(of), _places(of), 1)
