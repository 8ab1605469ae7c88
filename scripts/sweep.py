"""Tune a study's designs with equal effort: every combination of a few settings, the same for each design.

    python scripts/sweep.py quick --budget 3e11 --size w48 --out out/sweep --designs byte-ar bpe-ar \
        --grid window=64,128 batch=4,8 lr=3e-3,6e-3

A setting's name is a path below a design's `tuning` (or `objective.` or `representation.` for theirs). Runs are those
of a study at that budget and size, so what is done is not done again. Prints a table, best first; writes sweep.json.
"""

import argparse
import itertools
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from isobyte.config.recipes import load_recipe, validate
from isobyte.config.run import RunConfig
from isobyte.config.study import DesignConfig, StudyConfig
from isobyte.data.prepare import prepare
from isobyte.files import write_json
from isobyte.study.folder import data_hash
from isobyte.study.plan import plan_run


def with_settings(design: DesignConfig, settings: dict[str, object]) -> DesignConfig:
    """`design` with `settings` (path -> value) set below its tuning or its objective."""
    data = design.model_dump(mode="json")
    for path, value in settings.items():
        parts = path.split(".")
        *parents, last = parts if parts[0] in ("objective", "representation") else ["tuning", *parts]
        node = data
        for part in parents:
            node = node[part]
        node[last] = value
    return validate(DesignConfig, data, where="sweep")


def run_one(job: tuple[str, str, str]) -> float:
    """Train one run on one thread; its BPB."""
    from isobyte.data.prepared import Prepared
    from isobyte.train.loop import train
    from isobyte.train.runtime import Runtime

    config, data, out = job
    result = train(
        RunConfig.model_validate_json(config), Prepared.open(Path(data)), Path(out), runtime=Runtime(threads=1)
    )
    return result["likelihood"]["bpb"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--budget", type=float, required=True)
    parser.add_argument("--size", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--designs", nargs="*")
    parser.add_argument("--grid", nargs="+", required=True, metavar="KEY=V1,V2")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    study = load_recipe(options.recipe, StudyConfig)
    keys = [item.partition("=")[0] for item in options.grid]
    values = [[json.loads(v) for v in item.partition("=")[2].split(",")] for item in options.grid]
    rows, jobs = [], []
    for design in study.designs:
        if options.designs and design.name not in options.designs:
            continue
        for combination in itertools.product(*values):
            settings = dict(zip(keys, combination, strict=True))
            for seed in options.seeds:
                run = plan_run(study, with_settings(design, settings), options.budget, options.size, seed)
                data = options.out / "data" / data_hash(run.config)
                prepare(run.config.data, run.config.representation, data)
                out = options.out / "runs" / run.config.content_hash()
                rows.append({"design": design.name, **settings, "seed": seed, "steps": run.config.train.steps})
                jobs.append((run.config.model_dump_json(), str(data), str(out)))
    with ProcessPoolExecutor(options.workers) as pool:
        for row, bpb in zip(rows, pool.map(run_one, jobs), strict=True):
            row["bpb"] = bpb
            print(json.dumps(row), flush=True)
    rows.sort(key=lambda row: (row["design"], row["bpb"]))
    write_json(
        options.out / "sweep.json", {"recipe": study.name, "budget": options.budget, "size": options.size, "runs": rows}
    )
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
