"""Runs that another study has finished: the same config is the same run. No torch here."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from isobyte.config.run import RunConfig, scorer_run_config
from isobyte.study.folder import StudyFolder
from isobyte.study.plan import PlannedRun
from isobyte.train.folder import SCORERS, RunFolder


class Shelf:
    """What other studies have finished, for one that wants it. What designs are called plays no part."""

    def __init__(self, others: Sequence[StudyFolder] = ()) -> None:
        """Raises UserError where one of them holds no study."""
        for other in others:
            other.config()
        self.runs = {key: (run, other) for other in others for key, run in _finished(other).items()}

    def take(self, planned: PlannedRun, folder: StudyFolder) -> tuple[float, Path] | None:
        """Copy this run to where the study in `folder` wants it: its BPB and where it was; None where no study has
        it, or where it has begun."""
        place = folder.run(planned)
        run, other = self.runs.get(planned.config.content_hash(), (None, None))
        if run is None or other is None or place.path.exists():
            return None
        _take_scorer(planned.config, folder, other)
        _copy(run, place)
        result = place.result()
        assert result is not None
        return result["likelihood"]["bpb"], run.path


def _finished(other: StudyFolder) -> dict[str, RunFolder]:
    """Runs that ended well, by the hash of their config."""
    runs = [RunFolder(path.parent) for path in sorted((other.path / "runs").glob("*/result.json"))]
    return {run.config().content_hash(): run for run in runs if run.status()["state"] == "done"}


def _take_scorer(config: RunConfig, folder: StudyFolder, other: StudyFolder) -> None:
    """The network that found the run's patches, trained once for all runs on this text: its cost is the study's too."""
    scorer = scorer_run_config(config)
    if scorer is None:
        return
    there, place = (RunFolder(each.data(config) / SCORERS / scorer.content_hash()) for each in (other, folder))
    if there.result() is not None and not place.path.exists():
        _copy(there, place)


def _copy(run: RunFolder, place: RunFolder) -> None:
    """A whole run or none, and what was measured of it."""
    part = place.path.parent.parent / f".{place.path.name}.{os.getpid()}.part"
    try:
        shutil.copytree(run.path, part)
        place.path.parent.mkdir(parents=True, exist_ok=True)
        part.rename(place.path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    place.write_status("done", taken_from=str(run.path))
