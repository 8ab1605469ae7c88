"""The base of every config: frozen data with one canonical form and one hash."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen, typed value. Equal configs have equal hashes, whatever the order of their keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical_json(self) -> str:
        """One string per value: sorted keys, no spaces, shortest floats that read back exactly."""
        return canonical_json(self.model_dump(mode="json"))

    def content_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON: the identity of a run or a data set."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]


def canonical_json(value: Any) -> str:
    """Strict JSON (no NaN) with sorted keys; -0.0, which equals 0.0, is written as 0.0."""
    plain = _without_negative_zero(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _without_negative_zero(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_negative_zero(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_negative_zero(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value
