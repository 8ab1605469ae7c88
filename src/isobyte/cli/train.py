"""`isobyte train`"""

from pathlib import Path
from typing import Annotated, Any

import tyro

from isobyte.cli.output import console, emit
from isobyte.config.recipes import load_recipe
from isobyte.config.run import RunConfig


def train(
    recipe: Annotated[str, tyro.conf.Positional],
    overrides: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    *,
    out: Path,
    data: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    compile: bool | None = None,
    checkpoint_seconds: float = 60.0,
    json: bool = False,
) -> int:
    """Train one run and score it on its held-out text. The same command goes on where it stopped.

    Args:
        recipe: a shipped recipe's name or a .toml file that holds a run
        overrides: key.path=value, for example train.steps=200
        out: the run's folder
        data: folder for the prepared text; beside the run if left out
        device: auto, cpu, cuda, cuda:1, ...
        threads: CPU threads
        compile: compile the blocks; left out, on CUDA only
        checkpoint_seconds: save this often
        json: print the result as one JSON object, last on standard output
    """
    config = load_recipe(recipe, RunConfig, overrides)
    from isobyte.cli.masked_blocks_output import summary
    from isobyte.cli.train_progress import Progress
    from isobyte.config.permutation import TEXT
    from isobyte.data.prepare import prepare
    from isobyte.likelihood.value import of_source
    from isobyte.train.loop import train as train_run
    from isobyte.train.parallel import join
    from isobyte.train.runtime import Runtime

    prepared = prepare(config.data, config.representation, data or out.parent / f"{out.name}-data")
    runtime = Runtime(device=device, threads=threads, compile=compile, checkpoint_seconds=checkpoint_seconds)
    ranks = join()
    with Progress(console, config.train.steps) as progress:
        result = train_run(config, prepared, out, runtime=runtime, report=progress, ranks=ranks)
    if ranks.rank == 0:
        scored = result["likelihood"]
        unit, how = f"BPB{of_source(scored.get('source', TEXT))}", f"{scored['kind']}, {scored['estimator']}"
        console.print(f"{scored['bpb']:.4f} {unit} ({how}) on {scored['bytes']:,} bytes")
        if "masked_blocks" in result:
            console.print(summary(result["masked_blocks"]))
        emit(_flat(result), as_json=json)
    return 0


def _flat(result: dict[str, Any]) -> dict[str, Any]:
    return {**result["likelihood"], **{key: value for key, value in result.items() if key != "likelihood"}}
