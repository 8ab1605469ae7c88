"""Datasets of the Hugging Face hub, streamed row by row."""

from collections.abc import Iterator

from isobyte.config.data import HubCorpus
from isobyte.data.document import Document, Source, text_of
from isobyte.errors import UserError


def source(config: HubCorpus) -> Source:
    return config.model_dump(mode="json")


def documents(config: HubCorpus) -> Iterator[Document]:
    """A document per row. Raises UserError where the extra, the dataset or the column is missing."""
    try:
        from datasets import load_dataset  # pyright: ignore[reportMissingImports]
    except ImportError as problem:
        raise UserError(
            "reading from the hub needs the package `datasets`",
            where=config.name,
            how="pip install 'isobyte[datasets]'",
        ) from problem
    try:
        rows = load_dataset(config.name, config.subset, split=config.split, revision=config.revision, streaming=True)
    except Exception as problem:  # the library raises a dozen kinds
        raise UserError(f"cannot load it: {problem}", where=f"hub dataset {config.name}") from problem
    for index, row in enumerate(rows):
        name = f"{config.name}:{index}"
        yield Document(name, (text_of(row, config.column, name) + config.separator.encode(),))
