"""The study folder: study.json, packing.json, data/, runs/ and the report. No torch here."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isobyte.config.recipes import validate
from isobyte.config.run import RunConfig
from isobyte.config.study import StudyConfig
from isobyte.errors import UserError
from isobyte.files import read_json, write_json
from isobyte.study.plan import Cell, Losses, PlannedRun, decide, plan_run
from isobyte.train.folder import RunFolder


@dataclass(frozen=True)
class StudyFolder:
    path: Path

    @classmethod
    def create(cls, path: Path, study: StudyConfig) -> "StudyFolder":
        """Open `path` for this study; a folder of another study is refused and left alone."""
        folder = cls(path)
        if (path / "study.json").exists():
            other = folder.config()
            if other.content_hash() != study.content_hash():
                raise UserError(
                    f"holds study {other.name} ({other.content_hash()}), not {study.name} ({study.content_hash()})",
                    where=str(path),
                    how="choose another --out or delete the folder",
                )
        elif path.exists() and any(path.iterdir()):
            raise UserError("is not empty and holds no study", where=str(path), how="choose another --out")
        else:
            write_json(path / "study.json", study.model_dump(mode="json"))
        return folder

    def config(self) -> StudyConfig:
        """The study this folder holds. Raises UserError where there is none."""
        path = self.path / "study.json"
        if not path.exists():
            raise UserError("holds no study (study.json is missing)", where=str(self.path), how="name a study's --out")
        return validate(StudyConfig, read_json(path), where=str(path))

    def data(self, config: RunConfig) -> Path:
        """Where the prepared text of a run's representation lies."""
        return self.path / "data" / data_hash(config)

    def run(self, planned: PlannedRun) -> RunFolder:
        cell = planned.cell
        name = f"{cell.design}_{cell.budget:.3g}_{cell.size}_s{cell.seed}_{planned.config.content_hash()[:8]}"
        return RunFolder(self.path / "runs" / name)

    def losses(self, study: StudyConfig, cells: list[Cell]) -> dict[Cell, float | None]:
        """BPB of the cells that are finished; None for those that failed for good."""
        found: dict[Cell, float | None] = {}
        designs = {design.name: design for design in study.designs}
        for cell in cells:
            run = self.run(plan_run(study, designs[cell.design], cell.budget, cell.size, cell.seed))
            result = run.result()
            if result is not None:
                found[cell] = result["likelihood"]["bpb"]
            elif run.status()["state"] == "failed":
                found[cell] = None
        return found

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process. Raises UserError while another one works in it."""
        with (self.path / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(
                    "another process is working in this folder",
                    where=str(self.path),
                    how="wait for it or stop it",
                ) from None
            yield


def data_hash(config: RunConfig) -> str:
    """Names prepared data: a hash of corpus, split and representation."""
    return f"{config.representation.kind}-{config.data.content_hash()[:8]}-{config.representation.content_hash()[:8]}"


def settle(study: StudyConfig, folder: StudyFolder) -> tuple[list[Cell], Losses]:
    """Every cell the study wants given what is on disk, and the losses there are."""
    losses: dict[Cell, float | None] = {}
    while True:
        cells, _ = decide(study, losses)
        new = folder.losses(study, [cell for cell in cells if cell not in losses])
        if not new:
            return cells, losses
        losses |= new
