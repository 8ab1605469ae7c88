"""The run folder: the interface between training and everything that reads runs. No torch here."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isobyte.config.run import RunConfig
from isobyte.errors import UserError
from isobyte.files import read_json, write_atomic, write_json

SCORERS = "scorers"
"""Beside a prepared text: the runs of networks, and tables, that find patches in it, made once for all runs."""


@dataclass(frozen=True)
class RunFolder:
    """config.json, environment.json, metrics.jsonl, status.json, result.json, checkpoints/, model.safetensors."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> "RunFolder":
        """Open `path` for this config; a folder of another run is refused and left alone."""
        folder = cls(path)
        stored = path / "config.json"
        if stored.exists():
            other = folder.config()
            if other.content_hash() != config.content_hash():
                raise UserError(
                    f"holds run {other.content_hash()}, not {config.content_hash()}",
                    where=str(path),
                    how="choose another --out or delete the folder",
                )
        elif path.exists() and any(path.iterdir()):
            raise UserError("is not empty and holds no run", where=str(path), how="choose another --out")
        else:
            write_json(stored, config.model_dump(mode="json"))
        return folder

    def config(self) -> RunConfig:
        """The run's config. Raises UserError where there is none."""
        path = self.path / "config.json"
        if not path.exists():
            raise UserError("holds no run (config.json is missing)", where=str(self.path), how="name a run folder")
        return RunConfig.model_validate_json(path.read_text())

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def probes(self) -> Path:
        """What direct measurements of a finished run found, where a study has asked for any."""
        return self.path / "probes.json"

    @property
    def boundaries(self) -> Path:
        """The code for the boundaries of spans that the text decides, where the objective has such spans."""
        return self.path / "boundaries.safetensors"

    def result(self) -> dict[str, Any] | None:
        """The finished run's result, or None."""
        path = self.path / "result.json"
        return read_json(path) if path.exists() else None

    def write_result(self, result: dict[str, Any]) -> None:
        write_json(self.path / "result.json", result)

    def status(self) -> dict[str, Any]:
        path = self.path / "status.json"
        return read_json(path) if path.exists() else {"state": "planned"}

    def write_status(self, state: str, **fields: Any) -> None:
        write_json(self.path / "status.json", {"state": state, "time": time.time(), **fields})

    def write_environment(self, environment: dict[str, Any]) -> None:
        write_json(self.path / "environment.json", environment)

    def log(self, record: dict[str, Any]) -> None:
        with (self.path / "metrics.jsonl").open("a") as out:
            out.write(json.dumps(record, allow_nan=False) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Every whole line of metrics.jsonl; a line torn by a kill is dropped."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def rewind_metrics(self, step: int) -> None:
        """Forget what was logged after `step`, which is about to be run again."""
        kept = [record for record in self.metrics() if record["step"] <= step]
        write_atomic(self.path / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in kept))
