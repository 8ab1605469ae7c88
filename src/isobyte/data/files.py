"""The user's own files: folders, globs, plain or compressed, text or tables."""

import glob
import gzip
import hashlib
import io
import json
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from isobyte.config.data import FilesCorpus
from isobyte.data.document import Document, Source, text_of
from isobyte.errors import UserError

_BLOCK = 1 << 20
_PACKED = {".gz", ".zst", ".xz"}
_TABLES = {".jsonl", ".ndjson", ".parquet"}
_ONE_A_LINE = "write one JSON object per line"
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)


def source(config: FilesCorpus) -> Source:
    """Names, sizes and times of change: enough to notice that a file is not what it was."""
    found = [(path, path.stat()) for path in find(config.paths)]
    stamp = json.dumps([[path.as_posix(), stat.st_size, stat.st_mtime_ns] for path, stat in found])
    return {
        "kind": config.kind,
        "paths": list(config.paths),
        "files": len(found),
        ("bytes" if all(_plain(path) for path, _ in found) else "packed_bytes"): sum(stat.st_size for _, stat in found),
        "stamp": hashlib.sha256(stamp.encode()).hexdigest()[:16],
    }


def find(paths: tuple[str, ...]) -> list[Path]:
    """The files that `paths` name, each once. Raises UserError for a path that names none."""
    found: dict[Path, None] = {}
    for text in paths:
        path = Path(text).expanduser()
        if path.is_dir():
            inside = (file for file in path.rglob("*") if not _hidden(file.relative_to(path)))
            matches = sorted(inside, key=Path.as_posix)
        else:
            names = [str(path)] if path.exists() else glob.glob(str(path), recursive=True)  # noqa: PTH207
            matches = [Path(name) for name in sorted(names)]
        files = [file for file in matches if file.is_file()]
        if not files:
            what = "this folder holds no files" if path.is_dir() else "no such file or folder"
            raise UserError(what, where=text, how="check the path")
        found |= dict.fromkeys(files)
    return list(found)


def _kind(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix in _PACKED else path.suffix


def _plain(path: Path) -> bool:
    """Whether the file's size is that of its text."""
    return path.suffix not in _PACKED and _kind(path) not in _TABLES


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def documents(config: FilesCorpus) -> Iterator[Document]:
    for path in find(config.paths):
        kind, packed = _kind(path), path.suffix in _PACKED
        with _guarded(path), _open(path) as file:
            match kind:
                case ".jsonl" | ".ndjson":
                    rows = _json_rows(file, config.column, path)
                case ".parquet":
                    rows = _parquet_rows(file, config.column, path, packed)
                case _:
                    yield Document(path.as_posix(), _blocks(file, path))
                    continue
            separator = config.separator.encode()
            for index, text in enumerate(rows):
                yield Document(f"{path.as_posix()}:{index}", (text + separator,))


def _blocks(file: IO[bytes], path: Path) -> Iterator[bytes]:
    with _guarded(path):
        while block := file.read(_BLOCK):
            yield block


def _open(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked as they are read; packed files may have several members."""
    match path.suffix:
        case ".gz":
            return cast("IO[bytes]", gzip.open(path))
        case ".xz":
            return lzma.open(path)
        case ".zst":
            import pyarrow  # its reader notices a file that ends too early

            return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"), _BLOCK)
        case _:
            return path.open("rb")


def _json_rows(file: IO[bytes], column: str, path: Path) -> Iterator[bytes]:
    for number, line in enumerate(file, start=1):
        if not line.isspace():
            where = f"{path} line {number}"
            try:
                row = json.loads(line)
            except ValueError as problem:
                raise UserError(f"not JSON: {problem}", where=where, how="one JSON object per line") from problem
            if not isinstance(row, dict):
                raise UserError("not a JSON object", where=where, how="one JSON object per line")
            yield text_of(row, column, where)


def _parquet_rows(file: IO[bytes], column: str, path: Path, packed: bool) -> Iterator[bytes]:
    import pyarrow
    from pyarrow import parquet

    with tempfile.TemporaryFile() as copy:
        if packed:  # parquet is read from its end
            shutil.copyfileobj(file, copy, _BLOCK)
            file = cast("IO[bytes]", copy)
        try:
            table = parquet.ParquetFile(file)
        except pyarrow.ArrowException as problem:
            raise UserError(f"not a parquet file: {problem}", where=str(path)) from problem
        names = dict.fromkeys(table.schema_arrow.names)
        if column not in names:
            text_of(names, column, str(path))
        index = 0
        for batch in table.iter_batches(batch_size=1024, columns=[column]):
            for value in batch.column(0).to_pylist():
                yield text_of({column: value}, column, f"{path} row {index}")
                index += 1


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Damage and refusals of the file system are the user's to mend."""
    try:
        yield
    except _DAMAGE as problem:
        raise UserError(f"cannot read it: {problem}", where=str(path), how="check the file") from problem
