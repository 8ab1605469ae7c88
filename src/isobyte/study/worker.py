"""A worker process: reads jobs as JSON lines, answers with JSON lines, dies with its parent.

One process trains many runs, since starting one costs seconds.
"""

import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

from isobyte.files import write_json


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()

    def say(event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), file=answers, flush=True)

    import torch

    say("ready", cuda=torch.cuda.device_count())
    while True:
        job = jobs.get()
        try:
            result = DO[job["do"]](job, say)
            say("done", key=job["key"], result=result)
        except KeyboardInterrupt:
            say("interrupted", key=job["key"])
            return
        except Exception as problem:
            from isobyte.errors import UserError

            kind = "failed" if isinstance(problem, UserError) else "crashed"
            say(kind, key=job["key"], error=f"{type(problem).__name__}: {problem}"[:2000])


def _read_jobs(jobs: "queue.Queue[dict[str, Any]]") -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    os._exit(1)


def _open(job: dict[str, Any]):
    from isobyte.config.run import RunConfig
    from isobyte.data.prepared import Prepared

    return RunConfig.model_validate(job["config"]), Prepared.open(Path(job["data"]))


def _train(job: dict[str, Any], say: Any) -> dict[str, Any]:
    from isobyte.train.loop import train
    from isobyte.train.runtime import Runtime

    config, prepared = _open(job)
    last = [0.0]

    def report(record: dict[str, Any]) -> None:
        if record["phase"] == "train" and time.monotonic() - last[0] > 0.5:
            last[0] = time.monotonic()
            say("progress", key=job["key"], flops=record["flops"], step=record["step"], loss=record["loss"])

    return train(config, prepared, Path(job["path"]), runtime=Runtime(**job["runtime"]), report=report)


def _measure(job: dict[str, Any], _say: Any) -> dict[str, Any]:
    """FLOP/s of bare training steps on this device with `threads` threads, the first steps left out."""
    from isobyte.evaluate.throughput import training_throughput
    from isobyte.train.runtime import Runtime

    config, prepared = _open(job)
    return training_throughput(config, prepared, Runtime(**job["runtime"]), seconds=job["seconds"])


def _probe(job: dict[str, Any], _say: Any) -> dict[str, Any]:
    """The probes among `names` that the run has, kept beside it with what was asked for."""
    from isobyte.data.prepared import Prepared
    from isobyte.evaluate.probes import probe_run, probes_of
    from isobyte.train.folder import RunFolder

    folder = RunFolder(Path(job["path"]))
    has = probes_of(folder.config())
    names = [name for name in job["names"] if name in has]
    prepared = Prepared.open(Path(job["data"]))
    found = probe_run(
        folder.path, names, text=prepared.stream("heldout"), training=prepared.stream("train"),
        max_bytes=job["max_bytes"],
    )  # fmt: skip
    write_json(folder.probes, found | {"asked": job["names"]})
    return found


def _controls(job: dict[str, Any], _say: Any) -> dict[str, Any]:
    """Of what each design of a study reads, kept in the file `path`."""
    from isobyte.config.study import StudyConfig
    from isobyte.evaluate.controls.designs import designs_controls
    from isobyte.evaluate.controls.measure import MAX_BYTES
    from isobyte.evaluate.controls.texts import Texts

    study = StudyConfig.model_validate(job["study"])
    texts = Texts(study.data, max_bytes=MAX_BYTES)
    found = designs_controls({design.name: design for design in study.designs}, texts, texts.tokens())
    write_json(Path(job["path"]), found)
    return found


DO = {"train": _train, "measure": _measure, "probe": _probe, "controls": _controls}
"""What a job asks for."""


if __name__ == "__main__":
    main()
