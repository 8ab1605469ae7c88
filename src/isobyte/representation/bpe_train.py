"""Learning a byte-level BPE from text."""

import re
from collections.abc import Iterable, Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from isobyte.config.representation import BpeConfig
from isobyte.errors import UserError
from isobyte.representation.bpe import CHUNK_BYTES, INVALID, Bpe
from isobyte.representation.bpe_file import from_bytes
from isobyte.representation.cut import pieces

# Words with the blank before them, at most three digits together, line ends with what precedes them.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train(config: BpeConfig, documents: Iterable[bytes]) -> Bpe:
    """Learn `config.vocab_size` symbols: the 256 bytes, then merges by frequency. The same on every machine.

    Raises UserError where the documents do not yield as many merges (a pair must occur twice).
    """
    assert config.vocab_size is not None
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(_texts(documents), trainer)
    size = tokenizer.get_vocab_size()
    if size != config.vocab_size:
        raise UserError(
            f"the training text yields only {size} of {config.vocab_size} symbols",
            where="representation.vocab_size",
            how=f"ask for at most {size}, or give more text",
        )
    return from_bytes(tokenizer.to_str().encode(), "the trained tokenizer")


def _texts(documents: Iterable[bytes]) -> Iterator[str]:
    """The parts of the documents that are text, in chunks."""
    invalid = re.compile(f"[{INVALID}]+")
    for data in documents:
        for chunk in pieces(data, CHUNK_BYTES):
            yield from filter(None, invalid.split(chunk.decode("utf-8", "surrogateescape")))
