"""The flat backbone's shape."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from isobyte.config.base import Config


class FlatConfig(Config):
    """A LLaMA-style transformer over single symbols: RMSNorm, RoPE, SwiGLU, no biases."""

    kind: Literal["flat"] = "flat"
    layers: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt | None = None
    """Grouped-query attention when smaller than `heads`; None means one per head."""
    ffn: PositiveInt | None = None
    """Hidden width of SwiGLU; None means 4 x width."""
    tied: bool = False
    """The head reuses the embedding table."""
    rope_base: float = Field(default=10_000.0, gt=0)
    norm_eps: float = Field(default=1e-5, gt=0)
    attention_window: PositiveInt | None = None
    """A causal query sees this many positions, itself the last; None means all."""

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def n_kv_heads(self) -> int:
        return self.kv_heads or self.heads

    @property
    def ffn_width(self) -> int:
        return self.ffn or 4 * self.width

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads")
        if self.head_dim % 2:
            raise ValueError(f"head size {self.head_dim} is odd; rotary positions need an even one")
        if self.heads % self.n_kv_heads:
            raise ValueError(f"{self.heads} heads do not divide into {self.n_kv_heads} key-value heads")
        return self
