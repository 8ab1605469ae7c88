"""What one position is: the map between bytes and symbols."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from isobyte.config.base import Config

DIGITS_PER_BYTE = {2: 8, 4: 4, 16: 2}
"""By base. In other bases a byte would need codes that stand for nothing."""


class BytesConfig(Config):
    """Every byte is a symbol."""

    kind: Literal["bytes"] = "bytes"
    name: ClassVar[str] = "bytes"
    """What it is called where it stands beside others."""
    digits_per_byte: ClassVar[int] = 1
    """Symbols that spell one byte; 1 where every symbol is whole bytes."""
    bytes_per_symbol: ClassVar[float | None] = 1.0
    """None where only the text tells."""

    @property
    def vocab_size(self) -> int:
        """Symbols the model predicts."""
        return 256


class ByteDigitsConfig(Config):
    """Every byte is spelt in digits, most significant first: 8 bits, 4 pairs of bits or 2 nibbles."""

    kind: Literal["digits"] = "digits"
    base: Literal[2, 4, 16] = 2

    @property
    def name(self) -> str:
        return {2: "bits", 4: "bit pairs", 16: "nibbles"}[self.base]

    @property
    def digits_per_byte(self) -> int:
        return DIGITS_PER_BYTE[self.base]

    @property
    def bytes_per_symbol(self) -> float:
        return 1 / self.digits_per_byte

    @property
    def vocab_size(self) -> int:
        """Symbols the model predicts."""
        return self.base


class BpeConfig(Config):
    """Byte-level BPE: trained on the training split, or read from a `tokenizer.json` that proves lossless."""

    kind: Literal["bpe"] = "bpe"
    name: ClassVar[str] = "bpe"
    digits_per_byte: ClassVar[int] = 1
    bytes_per_symbol: ClassVar[float | None] = None
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


Representation = Annotated[BytesConfig | ByteDigitsConfig | BpeConfig, Field(discriminator="kind")]
