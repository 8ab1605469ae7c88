"""What every benchmark writes down beside its numbers, and where."""

import datetime
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from isobyte.cli.output import console


def dated(command: str, measured: dict[str, Any]) -> dict[str, Any]:
    """The record of `isobyte bench <command>`: when, by which commit, by which words."""
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    said = shlex.join(["isobyte", "bench", command, *sys.argv[3:]])
    return {"date": date, "commit": _commit(), "command": said, **measured}


def keep(record: dict[str, Any], kind: str, out: Path | None) -> Path | None:
    """Write it: to `out` if that names a .json file, else into that folder under its kind and day; where that was."""
    from isobyte.files import write_json

    if out is None:
        return None
    path = out if out.suffix == ".json" else out / f"bench-{kind}-{record['date'][:10]}.json"
    write_json(path, record)
    console.print(f"record: {path}")
    return path


def _commit() -> str | None:
    """The commit that runs, where the package's source lies in a git repository of its own."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        changed = bool(git("status", "--porcelain", "--untracked-files=no", ".."))
        return git("rev-parse", "HEAD").strip() + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
