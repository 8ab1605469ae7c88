"""What one position is: the map between bytes and symbols."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from isobyte.config.base import Config


class BytesConfig(Config):
    """Every byte is a symbol."""

    kind: Literal["bytes"] = "bytes"

    @property
    def vocab_size(self) -> int:
        """Symbols the model predicts."""
        return 256


class BpeConfig(Config):
    """Byte-level BPE: trained on the training split, or read from a `tokenizer.json` that proves lossless."""

    kind: Literal["bpe"] = "bpe"
    vocab_size: int | None = Field(default=None, ge=256)
    """Symbols the model predicts. With `path` it may be left open and is then measured from the file."""
    train_bytes: PositiveInt = 32 << 20
    """Most bytes of the training split that merges are learned from."""
    path: str | None = None
    """A Hugging Face `tokenizer.json`; nothing is trained."""

    @model_validator(mode="after")
    def _sized(self) -> Self:
        if self.vocab_size is None and self.path is None:
            raise ValueError("bpe needs vocab_size (to train) or path (to a tokenizer.json)")
        return self


Representation = Annotated[BytesConfig | BpeConfig, Field(discriminator="kind")]
