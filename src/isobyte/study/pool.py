"""Worker processes and their messages. No torch here: only the workers import it."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something worker `worker` said, or `died` when its pipe closed."""

    worker: int
    kind: str
    fields: dict[str, Any]


class Pool:
    """`size` workers with `threads` threads each; on GPUs, one device each. A worker that dies is replaced."""

    def __init__(self, size: int, threads: int, gpus: int = 0) -> None:
        self.threads, self.gpus = threads, gpus
        self.events: queue.Queue[Event] = queue.Queue()
        self.closing = False
        self.workers = [self._start(i) for i in range(size)]

    def send(self, worker: int, job: dict[str, Any]) -> None:
        """Give a worker a job. A worker already dead says so through `events`."""
        stdin = self.workers[worker].stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()

    def replace(self, worker: int) -> None:
        self.workers[worker] = self._start(worker)

    def close(self, patience: float = 30.0) -> None:
        """Ask every worker to save and stop; kill what has not after `patience` seconds."""
        self.closing = True
        for process in self.workers:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.workers:
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()

    def _start(self, index: int) -> "subprocess.Popen[str]":
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(index % self.gpus)
        process = subprocess.Popen(
            [sys.executable, "-m", "isobyte.study.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(index, process), daemon=True).start()
        return process

    def _listen(self, index: int, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            self.events.put(Event(index, message.pop("event"), message))
        self.events.put(Event(index, "died", {"code": process.wait()}))
