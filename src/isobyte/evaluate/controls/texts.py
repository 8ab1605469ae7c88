"""The text that designs are measured on, in the representation of each."""

import functools
from pathlib import Path

from isobyte.config.data import DataConfig, FilesCorpus
from isobyte.config.representation import BpeConfig, BytesConfig, Representation
from isobyte.data.corpus import read
from isobyte.data.heldout import piece_bytes, spread, training_sample
from isobyte.data.stream import Stream
from isobyte.data.window import excerpt
from isobyte.errors import UserError
from isobyte.representation import Representation as Alphabet
from isobyte.representation import build

TOKENS = 512
"""Symbols of the BPE whose tokens are counted, where no other is named."""
_SAMPLE_BYTES = 4 << 20
"""Of documents, evenly spaced: what the excerpt is taken from, and these tokens are learned from."""


class Texts:
    """At most `max_bytes` of the training documents of `data`, or of all of `file`; the same in every representation.

    Raises UserError, here or when asked, for a text that is missing, empty or too short to learn tokens from.
    """

    def __init__(self, data: DataConfig, file: Path | None = None, *, max_bytes: int) -> None:
        if file is not None:
            data = data.model_copy(update={"corpus": FilesCorpus(paths=(str(file),)), "max_bytes": None})
        self._data, self._whole, self._max_bytes = data, file is not None, max_bytes
        self._alphabets: dict[str, Alphabet] = {}
        self._streams: dict[str, Stream] = {}

    def know(self, representation: Representation, alphabet: Alphabet) -> None:
        """One that was learned before need not be learned again."""
        self._alphabets[representation.content_hash()] = alphabet

    def stream(self, representation: Representation) -> Stream:
        """One object for each representation, so that what is measured on it is kept."""
        name = representation.content_hash()
        if name not in self._streams:
            self._streams[name] = Stream.of(self._excerpt, self.alphabet(representation))
        return self._streams[name]

    def alphabet(self, representation: Representation) -> Alphabet:
        """As training learns it, from no more than the text at hand."""
        name = representation.content_hash()
        if name not in self._alphabets:
            sample = []
            if isinstance(representation, BpeConfig) and representation.path is None:
                sample = self._documents(representation.train_bytes)
            self._alphabets[name] = build(representation, sample)
        return self._alphabets[name]

    def tokens(self, size: int = TOKENS, path: Path | None = None) -> Alphabet:
        """A tokenizer of `size` symbols, or the one of a file."""
        if path is not None:
            return self.alphabet(BpeConfig(path=str(path)))
        return self.alphabet(BpeConfig(vocab_size=size, train_bytes=_SAMPLE_BYTES))

    @functools.cached_property
    def _excerpt(self) -> list[bytes]:
        documents = Stream.of(self._documents(_SAMPLE_BYTES), build(BytesConfig()))
        if not documents.n_bytes:
            raise UserError("there is no text in it", where=str(self._data.corpus), how="name a text")
        if documents.n_bytes <= self._max_bytes:
            return list(documents.documents())
        return excerpt(documents, self._max_bytes)

    def _documents(self, budget: int) -> list[bytes]:
        if self._whole:
            return spread(read(self._data, self._data.piece_bytes), budget)
        return training_sample(self._data, piece_bytes(self._data), budget)
