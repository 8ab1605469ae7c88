"""Small tokenizer files of the kinds found in the wild."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = ["the cat sat on the mat, the cat ate the rat\n", "naïve café — the théâtre, the naïveté\n"] * 20


def byte_level(**pre: Any) -> Tokenizer:
    """As GPT-2: byte letters, its own pattern, a special token inside the alphabet."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(**{"add_prefix_space": False} | pre)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def sentencepiece(*, prefix: bool, byte_fallback: bool = True) -> Tokenizer:
    """As Llama 2: blanks written as U+2581, rare characters as <0xHH>, three special tokens in front."""
    words = sorted({char for text in TEXT for char in text if char not in " \n"} - set("éï—"))
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    for token in ["▁", *words, "th", "the", "▁the", "at", "▁c", "▁cat"]:
        vocab[token] = len(vocab)
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("a", "t"), ("▁", "c"), ("▁c", "at")]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=byte_fallback, fuse_unk=True))
    replace = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if prefix else replace
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def write(tokenizer: Tokenizer, folder: Path, **changes: Any) -> str:
    """Save as `tokenizer.json`, some of its parts replaced; returns the path."""
    spec = json.loads(tokenizer.to_str()) | changes
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(spec))
    return str(path)
