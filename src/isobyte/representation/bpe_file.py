"""Tokenizers from a `tokenizer.json`: admitted only where they prove lossless."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from isobyte.config.representation import BpeConfig
from isobyte.errors import UserError
from isobyte.representation.bpe import Bpe

_SPACE = "▁"
"""How SentencePiece writes a blank."""

PROBES = (
    *("a", "A", " ", " a", "a ", "  a  b  ", "\n", "\n\n a\n", "\r\n", "\t\tx", "\x00\x01\x7f"),
    *("Don't stop, they'll see: 12345 x 6,789.0!", "``quoted''", "##ing </w>@@ ", "a▁b ▁", "Ġ Ċ"),
    *("é", "e\u0301", "ﬁ Ⅳ ½", "Ａ１", "İstanbul ß SS", "日本語。テキスト", "عربى", "👩‍👩‍👧 🇫🇷"),
    *("\u200b\u200d", "\u00a0\u2003\u3000", "\ufeffx", "\u2028\u2029", "\ufffd", "\U0010ffff"),
    *("<0x41>", "<s> </s> <unk> <pad> <|endoftext|> [MASK]"),
)
"""What tokenizers are known to lose: blanks, case, accents, compatibility forms, their own marks."""


def read(config: BpeConfig) -> Bpe:
    """The tokenizer at `config.path`. Raises UserError if it is missing, not lossless or of another size."""
    assert config.path is not None
    path = Path(config.path).expanduser()
    path = path / "tokenizer.json" if path.is_dir() else path
    bpe = from_bytes(_read_file(path), str(path))
    if config.vocab_size not in (None, bpe.vocab_size):
        raise UserError(
            f"the tokenizer has {bpe.vocab_size} symbols, not {config.vocab_size}",
            where=str(path),
            how=f"set representation.vocab_size={bpe.vocab_size} or leave it open",
        )
    return bpe


def load(folder: Path) -> Bpe:
    """The tokenizer that `Bpe.save` wrote; proven lossless when it was admitted."""
    path = folder / "tokenizer.json"
    return from_bytes(_read_file(path), str(path), prove=False)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise UserError("cannot read it", where=str(path), how="give a tokenizer.json") from problem


def from_bytes(file: bytes, where: str, *, prove: bool = True) -> Bpe:
    """The tokenizer in the text of a `tokenizer.json`, special tokens switched off."""
    try:
        spec = json.loads(file)
        model = spec["model"]
        tokenizer = Tokenizer.from_buffer(file)
    except Exception as problem:  # the library raises bare Exception
        raise UserError(f"no tokenizer.json: {problem}", where=where) from problem
    kind = model.get("type", "BPE")
    if kind != "BPE" or model.get("dropout"):
        raise UserError(f"{kind} or dropout", where=where, how="give a BPE tokenizer without dropout")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # "<s>" in a text is text
    bpe = _with_table(tokenizer, file, bool(model.get("byte_fallback")), where)
    if prove:
        _prove(bpe, spec, where)
    return bpe


def _with_table(tokenizer: Tokenizer, file: bytes, fallback: bool, where: str) -> Bpe:
    """Find the bytes of each symbol, under either convention; an added token stands for its own text."""
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    tokens = sorted(vocab, key=vocab.__getitem__)
    if [vocab[token] for token in tokens] != list(range(len(tokens))):
        raise UserError("the token ids have gaps", where=where, how="give a tokenizer with ids 0..V-1")
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    letters, names = _byte_letters(), [f"<0x{byte:02X}>" for byte in range(256)]
    if all(letter in vocab for letter in letters):
        byte_of = {letter: byte for byte, letter in enumerate(letters)}
        table = [
            t.encode() if t in added or not set(t) <= byte_of.keys() else bytes(map(byte_of.__getitem__, t))
            for t in tokens
        ]
        return Bpe(tokenizer, file, table, [vocab[letter] for letter in letters])
    if fallback and all(name in vocab for name in names):
        named = {name: bytes([byte]) for byte, name in enumerate(names)}
        table = [named.get(t) or (t if t in added else t.replace(_SPACE, " ")).encode() for t in tokens]
        return Bpe(tokenizer, file, table, [vocab[name] for name in names], escaped=_SPACE)
    raise UserError(
        "it lacks symbols for all 256 bytes, so some text has no encoding",
        where=where,
        how="give a byte-level BPE, or one with byte_fallback and <0x00>..<0xFF>",
    )


def _byte_letters() -> list[str]:
    """GPT-2's letter for each byte [256]: itself where it prints, else the next free one from U+0100 on."""
    prints = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    free = iter(range(0x100, 0x200))
    return [chr(byte if byte in prints else next(free)) for byte in range(256)]


def _prove(bpe: Bpe, spec: dict[str, Any], where: str) -> None:
    """Encode everything that tokenizers are known to lose; `Bpe` compares and refuses."""
    added = [f"x {token['content']} {token['content']}\n" for token in spec.get("added_tokens", [])]
    try:
        for text in (*PROBES, "".join(PROBES), *added):
            bpe.encode(text.encode())
        bpe.encode(bytes(range(256)) * 2)
    except UserError as problem:
        raise UserError(problem.what, where=where, how=_mend(spec)) from None


def _mend(spec: dict[str, Any]) -> str:
    parts = json.dumps([spec.get("normalizer"), spec.get("pre_tokenizer")])
    if any(f'"{word}"' in parts for word in ("Prepend", "first", "always")) or '_space": true' in parts:
        return "if it puts a blank in front, take Prepend, add_prefix_space and prepend_scheme out of the file"
    if spec.get("normalizer"):
        return "it rewrites text before it encodes it; take its normalizer out of the file"
    return "give a tokenizer without unknown tokens and without stripped blanks, or train one"
