"""Code without a download: the sources of the running Python's standard library."""

import os
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from isobyte.config.data import StdlibCorpus
from isobyte.data.document import Document, Source
from isobyte.errors import UserError

_LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


def _folder() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _files() -> list[Path]:
    """Modules in order of their names; neither tests nor what belongs to this installation alone."""
    root, found = _folder(), []
    for folder, inside, names in os.walk(root):
        inside[:] = [name for name in inside if name not in _LEFT_OUT]
        sources = (name for name in names if name.endswith(".py") and not name.startswith("_sysconfigdata"))
        found += [Path(folder, name).relative_to(root) for name in sources]
    if not found:
        raise UserError("this Python has no source files", where=str(root), how="use another corpus")
    return sorted(found, key=Path.as_posix)


def source(config: StdlibCorpus) -> Source:
    return {
        "kind": config.kind,
        "name": f"standard library of {platform.python_implementation()} {platform.python_version()}",
        "licence": "PSF-2.0",
        "bytes": sum((_folder() / path).stat().st_size for path in _files()),
    }


def documents(_: StdlibCorpus) -> Iterator[Document]:
    for path in _files():
        yield Document(path.as_posix(), ((_folder() / path).read_bytes(),))
