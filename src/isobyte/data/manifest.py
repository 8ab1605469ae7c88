"""What a prepared folder holds: written last, so that a manifest means the folder is whole."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

import isobyte
from isobyte.config import representation
from isobyte.config.base import Config
from isobyte.config.data import DataConfig
from isobyte.errors import UserError
from isobyte.files import write_json

FORMAT = 1


class Shard(Config):
    """A raw little-endian file of symbols."""

    name: str
    symbols: int
    sha256: str


class Split(Config):
    """Shards, of equal length but the last, and a table: first symbol and first byte of each document."""

    documents: int = 0
    bytes: int = 0
    symbols: int = 0
    shards: tuple[Shard, ...] = ()
    table_sha256: str = ""
    text_crc32: int = 0
    """Of the raw bytes, documents joined: equal for every representation of the same text."""


class Manifest(Config):
    format: Literal[1] = FORMAT
    version: str = isobyte.__version__
    data: DataConfig
    data_hash: str
    representation: representation.Representation
    representation_hash: str
    alphabet: dict[str, str | int]
    """The representation as built: kind, vocab_size, SHA-256 of the tokenizer."""
    source: dict[str, Any]
    piece_bytes: int
    """What longer documents were cut into."""
    shard_symbols: int
    train: Split = Split()
    heldout: Split = Split()

    def split(self, name: Literal["train", "heldout"]) -> Split:
        return self.train if name == "train" else self.heldout

    def same_job(self, other: "Manifest") -> bool:
        """Whether both describe the same preparation, however far it has come."""
        splits = {"train": Split(), "heldout": Split()}
        return self.model_copy(update=splits) == other.model_copy(update=splits)


def write_manifest(path: Path, manifest: Manifest) -> None:
    write_json(path, manifest.model_dump(mode="json"))


def read_manifest(path: Path) -> Manifest:
    """Raises UserError where it is missing or of another format."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as problem:
        raise UserError("no prepared data here", where=str(path.parent), how="run `isobyte data prepare`") from problem
    except ValidationError as problem:
        raise UserError(
            f"a damaged manifest, or one of another version: {problem.errors()[0]['msg']}",
            where=str(path),
            how="prepare again into an empty folder",
        ) from problem
