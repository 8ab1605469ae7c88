"""`isobyte audit`"""

from pathlib import Path
from typing import Annotated

import tyro

from isobyte.cli.output import console, emit, tables

VERDICT = {True: "[green]passed[/green]", False: "[red]FAILED[/red]", None: "shown"}


def audit(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    data: Path | None = None,
    max_bytes: int = 32_768,
    json: bool = False,
) -> int:
    """Check whether the number that a trained run reports as its likelihood is one. Exits 1 if it is not.

    Asks other seeds and estimators of the same number, looks for leaks by changing symbols, sums the probabilities of
    all short windows (they may not exceed one), and codes and decodes a piece of the text.

    Args:
        run: a run's folder
        data: a file or folder to measure on; the run's own held-out text if left out
        max_bytes: measure on no more than this, spread evenly over the text
        json: one JSON object, last on standard output
    """
    from rich.table import Table

    from isobyte.evaluate.audit import audit_run

    with console.status("auditing") as status:
        found = audit_run(run, data=data, max_bytes=max_bytes, say=status.update)
    table = Table("check", "what", "found", "verdict", title=f"audit of {run}")
    for check in found.checks:
        table.add_row(check.name, check.what, check.found, VERDICT[check.passed])
    tables(json).print(table)
    if not found.passed:
        console.print("A check failed: the number is no likelihood and must not be reported as one.")
    emit(found.to_json(), as_json=json)
    return 0 if found.passed else 1
