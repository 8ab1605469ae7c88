"""Runs that another study has finished: the same config is the same run. No torch here."""

import os
import shutil

from isobyte.config.run import RunConfig, scorer_run_config
from isobyte.config.study import StudyConfig
from isobyte.study.execute import Observer
from isobyte.study.folder import StudyFolder, settle
from isobyte.study.plan import plan_run
from isobyte.train.folder import SCORERS, RunFolder


def take_over(study: StudyConfig, folder: StudyFolder, other: StudyFolder, observer: Observer) -> None:
    """Copy what `other` has finished of the runs that the study wants and has not begun, and of those that it wants
    then, once their grids are re-centred. What designs are called plays no part."""
    there = _finished(other)
    designs = {design.name: design for design in study.designs}
    more = True
    while more:
        more = False
        cells, losses = settle(study, folder)
        for cell in cells:
            planned = plan_run(study, designs[cell.design], cell.budget, cell.size, cell.seed)
            place, run = folder.run(planned), there.get(planned.config.content_hash())
            if cell in losses or run is None or place.path.exists():
                continue
            _take_scorer(planned.config, folder, other)
            _copy(run, place)
            more = True
            observer.started(planned)
            observer.ended(planned, "taken", f"from {run.path}")


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
