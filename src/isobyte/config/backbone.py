"""Backbones: symbols in, hidden states out."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from isobyte.config.backbone_blt import BltConfig
from isobyte.config.backbone_flat import FlatConfig


def _kind(value: Any) -> Any:
    """A backbone that names no kind is flat."""
    return value.get("kind", "flat") if isinstance(value, dict) else getattr(value, "kind", None)


Backbone = Annotated[Annotated[FlatConfig, Tag("flat")] | Annotated[BltConfig, Tag("blt")], Discriminator(_kind)]

__all__ = ["Backbone", "BltConfig", "FlatConfig"]
