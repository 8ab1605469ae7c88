"""Bytes <-> symbols: lossless on every byte string, and the bytes of each symbol are known."""

from isobyte.representation.base import Representation, build, load, needs_training, save

__all__ = ["Representation", "build", "load", "needs_training", "save"]
