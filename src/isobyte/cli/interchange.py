"""`isobyte import` and `isobyte export`"""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from isobyte.cli.output import console, emit


def import_(
    checkpoint: Annotated[Path, tyro.conf.Positional],
    *,
    out: Path,
    patcher: Path | None = None,
    json: bool = False,
) -> int:
    """Make a run of a Byte Latent Transformer's checkpoint, of transformers or of the released code.

    Every tensor is checked by name and shape, nothing is left out, and nothing is unpickled.

    Args:
        checkpoint: a folder with config.json or params.json and safetensors files, whole or in shards
        out: the run's folder
        patcher: the folder of the entropy model of a released checkpoint; `entropy_model` inside it if left out
        json: one JSON object, last on standard output
    """
    from isobyte.evaluate.interchange import import_checkpoint

    return _say(import_checkpoint(checkpoint, out, patcher), json)


def export(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    out: Path,
    format: Literal["transformers", "official"] = "transformers",
    json: bool = False,
) -> int:
    """Write a run as a checkpoint that transformers or the released code of the Byte Latent Transformer opens.

    What they have no word for is refused by name. Of objective blt_diffusion the model that goes byte by byte is
    written, and a note says what is left out. Runs of a flat backbone (objective ar) become Llamas.

    Args:
        run: a run's folder
        out: an empty folder
        format: transformers, or official (facebookresearch/blt)
        json: one JSON object, last on standard output
    """
    from isobyte.evaluate.interchange import export_run

    return _say(export_run(run, out, format), json)


def _say(record: dict[str, Any], as_json: bool) -> int:
    for note in record["notes"]:
        console.print(f"note: {note}")
    console.print(f"{record['tensors']} tensors of {record['numbers']:,} numbers in {record['out']}")
    emit(record, as_json=as_json)
    return 0
