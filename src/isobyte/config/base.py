"""The base of every config: frozen data with one canonical form and one hash."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen, typed value. Equal configs have equal hashes, whatever the order of their keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def canonical_json(self) -> str:
        """One string per value: sorted keys, no spaces, shortest floats that read back exactly."""
        return canonical_json(self.model_dump(mode="json"))

    def content_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON: the identity of a run or a data set."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]


def canonical_json(value: Any) -> str:
    """Strict JSON (no NaN) with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
