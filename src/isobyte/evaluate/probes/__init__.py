"""Direct measurements of a finished run: what it makes of what it is shown. None of their numbers is a likelihood."""

from pathlib import Path
from typing import Any, NamedTuple

from isobyte.config.run import RunConfig
from isobyte.data.stream import Stream
from isobyte.errors import UserError, nearest
from isobyte.evaluate.bpb import held_out_text
from isobyte.evaluate.loaded import LoadedRun, load_run
from isobyte.evaluate.probes.common import Lacks, Measure, ProbeSettings
from isobyte.evaluate.probes.fragility import lacks_fragility, probe_fragility
from isobyte.evaluate.probes.layers import lacks_layers, probe_layers
from isobyte.evaluate.probes.segmentation import lacks_segmentation, probe_segmentation
from isobyte.evaluate.probes.words import lacks_words, probe_words


class Probe(NamedTuple):
    measure: Measure
    lacks: Lacks
    """Why a run has no such probe, or None."""


PROBES: dict[str, Probe] = {
    "words": Probe(probe_words, lacks_words),
    "fragility": Probe(probe_fragility, lacks_fragility),
    "segmentation": Probe(probe_segmentation, lacks_segmentation),
    "layers": Probe(probe_layers, lacks_layers),
}


def probe_run(
    path: Path,
    names: list[str],
    *,
    data: Path | None = None,
    column: str = "text",
    max_bytes: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    vocab: int = ProbeSettings.vocab,
    tokenizer: str | None = None,
    text: Stream | None = None,
    training: Stream | None = None,
) -> dict[str, Any]:
    """The probes called `names` on `data`, or on the run's held-out text when None.

    `text` and `training` are its held-out and its training text where they lie prepared; without them they are
    prepared again.
    {"run": facts, "data", "seed", "probes": {name: what it found}}, strict JSON.

    Raises UserError for an unknown probe, for one that the run does not have, and for text that is missing or short.
    """
    for name in names:
        if name not in PROBES:
            raise UserError(f"no probe is called {name!r}", where="--probe", how=nearest(name, list(PROBES)))
    run = load_run(path, device)
    for name in names:
        if (why := PROBES[name].lacks(run.config)) is not None:
            has = ", ".join(probes_of(run.config)) or "none"
            raise UserError(f"has no probe {name!r}: {why}", where=str(path), how=f"the run has: {has}")
    stream = text if text is not None and data is None else held_out_text(path, run, data, column)
    seed = run.config.evaluate.seed if seed is None else seed
    settings = ProbeSettings(max_bytes=max_bytes, seed=seed, vocab=vocab, tokenizer=tokenizer, training=training)
    return {
        "run": run_facts(run),
        "data": None if data is None else str(data),
        "seed": seed,
        "probes": {name: PROBES[name].measure(run, stream, settings) for name in names},
    }


def probes_of(config: RunConfig) -> list[str]:
    """The probes that a run of this config has."""
    return [name for name, probe in PROBES.items() if probe.lacks(config) is None]


def run_facts(run: LoadedRun) -> dict[str, Any]:
    """What a probe's numbers are plotted against; None where the run has no result."""
    config, result = run.config, run.folder.result() or {}
    return {
        "hash": config.content_hash(),
        "objective": config.objective.model_dump(mode="json"),
        "representation": run.representation.record(),
        "backbone": config.backbone.kind,
        "window": config.train.window,
        **{name: result.get(name) for name in ("N", "flops", "data_bytes")},
        "likelihood": {name: result.get("likelihood", {}).get(name) for name in ("bpb", "kind")},
    }
