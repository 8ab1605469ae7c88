"""Corpus -> checksummed shards of symbols: one pass, flat memory, resumable.

A preparation that was killed goes on from its last checkpoint. The corpus is read again from its start, which
is cheap; what is on disk is not encoded again, which is dear; and what was passed over must be unchanged.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from isobyte.config import representation as configs
from isobyte.config.data import DataConfig
from isobyte.data import corpus
from isobyte.data.heldout import SPLITS, SplitName, describe, piece_bytes, split_of, training_sample
from isobyte.data.manifest import Manifest, Split, read_manifest, write_manifest
from isobyte.data.prepared import MANIFEST, REPRESENTATION, Prepared
from isobyte.data.shards import Damaged, SplitWriter, clear
from isobyte.errors import UserError
from isobyte.representation import Representation, build, load, needs_training, save

PARTIAL = "manifest.partial.json"
_GROUP_BYTES = 4 << 20
"""Documents are encoded in groups of about this size, so that short ones are encoded in parallel."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes read so far, and with how many there are where that is known."""
Writers = dict[SplitName, SplitWriter]


def prepare(
    data: DataConfig,
    representation: configs.Representation,
    folder: Path,
    progress: Progress | None = None,
    *,
    shard_bytes: int = 64 << 20,
    checkpoint_seconds: float = 10.0,
) -> Prepared:
    """The corpus of `data` as symbols of `representation`, in `folder`; at once if it is there already.

    The files depend on the arguments and the corpus alone. Raises UserError where the folder holds something
    else, the corpus is empty, unreadable or not what it was, or a tokenizer is not lossless.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if (folder / MANIFEST).exists():
            _check_same(read_manifest(folder / MANIFEST), data, representation, folder)
        else:
            _write(*_begin(data, representation, folder, shard_bytes), folder, progress, checkpoint_seconds)
            return Prepared.open(folder, verify=False)
    return Prepared.open(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two preparations of one folder take turns; the second finds the work done."""
    import fcntl

    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_same(found: Manifest, data: DataConfig, representation: configs.Representation, folder: Path) -> None:
    how = "choose another folder, or remove this one"
    if (found.data, found.representation) != (data, representation):
        raise UserError("it holds another corpus, split or representation", where=str(folder), how=how)
    try:
        same = corpus.source(data.corpus) == found.source
        if not needs_training(representation):
            same = same and build(representation).record() == found.alphabet
    except UserError:  # the sources may be elsewhere by now; what was prepared stands
        return
    if not same:
        what = f"{describe(data)} or the tokenizer has changed since it was prepared"
        raise UserError(what, where=str(folder), how=how)


def _begin(
    data: DataConfig, representation: configs.Representation, folder: Path, shard_bytes: int
) -> tuple[Manifest, Representation, Writers]:
    """Take up what an earlier run left, if it was this very job and is sound; else start afresh."""
    source, limit = corpus.source(data.corpus), piece_bytes(data)

    def job(built: Representation) -> Manifest:
        return Manifest(
            data=data,
            data_hash=data.content_hash(),
            representation=representation,
            representation_hash=representation.content_hash(),
            alphabet=built.record(),
            source=source,
            piece_bytes=limit,
            shard_symbols=max(1, shard_bytes // built.dtype.itemsize),
        )

    try:
        partial, built = read_manifest(folder / PARTIAL), load(folder / REPRESENTATION)
        if partial.same_job(job(built)):
            return partial, built, _writers(partial, built, folder)
    except (UserError, Damaged):
        pass
    clear(folder)
    sample = []
    if isinstance(representation, configs.BpeConfig) and needs_training(representation):
        sample = training_sample(data, limit, representation.train_bytes)
    built = build(representation, sample)
    save(built, folder / REPRESENTATION)
    return job(built), built, _writers(job(built), built, folder)


def _writers(manifest: Manifest, built: Representation, folder: Path) -> Writers:
    return {
        name: SplitWriter(folder, name, built.dtype, manifest.shard_symbols, manifest.split(name)) for name in SPLITS
    }


def _write(
    manifest: Manifest,
    built: Representation,
    writers: Writers,
    folder: Path,
    progress: Progress | None,
    checkpoint_seconds: float,
) -> None:
    data = manifest.data
    pieces = corpus.read(data, manifest.piece_bytes)
    index = _skip(pieces, manifest, writers, folder)
    due = time.monotonic() + checkpoint_seconds
    while group := _group(pieces):
        for piece, symbols in zip(group, built.encode_many(group), strict=True):
            writers[split_of(index, data.heldout_every)].add(piece, symbols)
            index += 1
        if progress:
            done = sum(writer.bytes for writer in writers.values())
            progress(done, data.max_bytes or manifest.source.get("bytes"))
        if time.monotonic() > due:
            write_manifest(folder / PARTIAL, manifest.model_copy(update=_checkpoint(writers)))
            due = time.monotonic() + checkpoint_seconds
    whole = _checkpoint(writers)
    for writer in writers.values():
        writer.close()
    write_manifest(folder / MANIFEST, manifest.model_copy(update=whole))
    (folder / PARTIAL).unlink(missing_ok=True)


def _skip(pieces: Iterator[bytes], manifest: Manifest, writers: Writers, folder: Path) -> int:
    """Pass over the documents that are written already; returns how many."""
    written = sum(manifest.split(name).documents for name in SPLITS)
    for index, piece in enumerate(islice(pieces, written)):
        writers[split_of(index, manifest.data.heldout_every)].skip(piece)
    if any(writers[name].text_crc32 != manifest.split(name).text_crc32 for name in SPLITS):
        what = f"{describe(manifest.data)} has changed since the preparation began"
        raise UserError(what, where=str(folder), how="remove the folder and prepare again")
    return written


def _group(pieces: Iterator[bytes]) -> list[bytes]:
    group, size = [], 0
    for piece in pieces:
        group.append(piece)
        size += len(piece)
        if size >= _GROUP_BYTES:
            break
    return group


def _checkpoint(writers: Writers) -> dict[str, Split]:
    return {name: writer.checkpoint() for name, writer in writers.items()}
