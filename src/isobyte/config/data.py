"""Which text is read, and which part of it is held out."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from isobyte.config.base import Config

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class SotuCorpus(Config):
    """State of the Union addresses 1790-2021: 233 documents, 10.8 MB of public-domain English, bundled."""

    kind: Literal["sotu"] = "sotu"


class StdlibCorpus(Config):
    """The source files of the running Python's standard library, tests left out: code without a download."""

    kind: Literal["stdlib"] = "stdlib"


class FilesCorpus(Config):
    """Files, folders and globs, read in the order given and by name within each.

    `.jsonl` and `.parquet` give a document per row, any other file is one document of raw bytes;
    each may be compressed (`.gz`, `.zst`, `.xz`). Names that start with a dot are passed over inside folders.
    """

    kind: Literal["files"] = "files"
    paths: tuple[str, ...] = Field(min_length=1)
    column: str = "text"
    """Where the text of a row is."""
    separator: str = ""
    """Added to the end of each row; its bytes count. Empty: not a byte that is not in the files."""


class HubCorpus(Config):
    """A dataset of the Hugging Face hub, streamed; a document per row."""

    kind: Literal["hub"] = "hub"
    name: str
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    column: str = "text"
    separator: str = ""
    """Added to the end of each row; its bytes count."""


class SyntheticCorpus(Config):
    """A source whose entropy is known exactly, cut into independent documents of `document_bytes`.

    `iid`: bytes drawn by `weights` (byte value i has weight i). `zipf`: `alphabet` byte values, the i-th with
    weight i^-exponent. `markov`: binary symmetric chain that flips with probability `flip`. `equal`: one of
    `alphabet` values, repeated `block` times. `parity`: `block` bits of even parity. Bits are bytes 0 and 1.
    """

    kind: Literal["synthetic"] = "synthetic"
    law: Literal["iid", "zipf", "markov", "equal", "parity"] = "zipf"
    documents: PositiveInt = 256
    document_bytes: PositiveInt = 4096
    seed: int = Field(default=0, ge=0)
    weights: tuple[Weight, ...] = Field(default=(), max_length=256)
    exponent: float = Field(default=1.0, allow_inf_nan=False)
    alphabet: int = Field(default=256, ge=1, le=256)
    flip: float = Field(default=0.1, ge=0, le=1)
    block: PositiveInt = 8

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.law == "iid" and sum(self.weights) <= 0:
            raise ValueError("law iid needs weights with a positive sum")
        if self.law in ("equal", "parity") and self.document_bytes % self.block:
            raise ValueError(f"document_bytes {self.document_bytes} is no multiple of block {self.block}")
        return self


class ElsewhereCorpus(Config):
    """The text of a network that was trained elsewhere; it is not known here, and cannot be read."""

    kind: Literal["elsewhere"] = "elsewhere"
    source: str
    """Where the network comes from."""
    digest: str
    """SHA-256 of its files, which tells networks of one shape and source apart."""


Corpus = Annotated[
    SotuCorpus | StdlibCorpus | FilesCorpus | HubCorpus | SyntheticCorpus | ElsewhereCorpus,
    Field(discriminator="kind"),
]


class DataConfig(Config):
    """A corpus and its split: of every `heldout_every` consecutive documents, the last is held out."""

    corpus: Corpus = SotuCorpus()
    heldout_every: int = Field(default=10, ge=2)
    piece_bytes: int = Field(default=1 << 18, ge=64)
    """Longer documents are cut into pieces of at most this size, and each piece counts as a document."""
    max_bytes: PositiveInt | None = None
    """Read no more than this much of the corpus."""
