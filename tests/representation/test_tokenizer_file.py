"""Which tokenizer files are admitted, and what is said about the others."""

import json
from pathlib import Path

import pytest
import tokenizer_files as files

from isobyte.config.representation import BpeConfig
from isobyte.errors import UserError
from isobyte.representation import build


def test_symbols_are_the_ids_of_the_file(tmp_path: Path) -> None:
    tokenizer = files.byte_level()
    it = build(BpeConfig(path=files.write(tokenizer, tmp_path)))
    text = "the café cat\n"
    assert it.encode(text.encode()).tolist() == tokenizer.encode(text).ids
    assert it.vocab_size == tokenizer.get_vocab_size()
    folder = build(BpeConfig(path=str(tmp_path), vocab_size=it.vocab_size))
    assert folder.record() == it.record()


def test_special_tokens_are_plain_text(tmp_path: Path) -> None:
    tokenizer = files.byte_level()
    special = tokenizer.token_to_id("<|endoftext|>")
    it = build(BpeConfig(path=files.write(tokenizer, tmp_path)))
    assert special not in it.encode(b"the <|endoftext|> cat")
    assert it.decode([special]) == b"<|endoftext|>"


def test_sentencepiece_spells_what_it_cannot_write(tmp_path: Path) -> None:
    it = build(BpeConfig(path=files.write(files.sentencepiece(prefix=False), tmp_path)))
    assert len(it.encode(b"the cat")) == 2
    assert it.encode("▁".encode()).tolist() == [3 + byte for byte in "▁".encode()]
    assert it.encode(b"\xff").tolist() == [3 + 0xFF]


def test_a_blank_put_in_front_is_refused(tmp_path: Path) -> None:
    for tokenizer in (files.sentencepiece(prefix=True), files.byte_level(add_prefix_space=True)):
        with pytest.raises(UserError, match=r"not lossless: 'a' comes back as ' a'.*blank in front"):
            build(BpeConfig(path=files.write(tokenizer, tmp_path)))


@pytest.mark.parametrize(
    ("normalizer", "shown"),
    [("NFC", "e\u0301"), ("NFKC", "e\u0301"), ("Lowercase", "A"), ("StripAccents", "e\u0301")],
)
def test_normalisation_is_refused_with_an_example(tmp_path: Path, normalizer: str, shown: str) -> None:
    path = files.write(files.byte_level(), tmp_path, normalizer={"type": normalizer})
    with pytest.raises(UserError, match=r"not lossless.*take its normalizer out") as refusal:
        build(BpeConfig(path=path))
    assert f"not lossless: {shown!a} comes back as" in str(refusal.value)


def test_unknown_tokens_are_refused(tmp_path: Path) -> None:
    path = files.write(files.sentencepiece(prefix=False, byte_fallback=False), tmp_path)
    with pytest.raises(UserError, match="lacks symbols for all 256 bytes"):
        build(BpeConfig(path=path))


def test_a_missing_pre_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not lossless"):
        build(BpeConfig(path=files.write(files.byte_level(), tmp_path, pre_tokenizer=None)))


def test_an_added_token_that_eats_blanks_is_refused(tmp_path: Path) -> None:
    tokenizer = files.byte_level()
    spec = json.loads(tokenizer.to_str())
    eater = spec["added_tokens"][0] | {
        "id": tokenizer.get_vocab_size(),
        "content": "<eat>",
        "lstrip": True,
        "special": False,
    }
    with pytest.raises(UserError, match="not lossless"):
        build(BpeConfig(path=files.write(tokenizer, tmp_path, added_tokens=[*spec["added_tokens"], eater])))


def test_other_models_sizes_and_files_are_refused(tmp_path: Path) -> None:
    tokenizer = files.byte_level()
    model = json.loads(tokenizer.to_str())["model"]
    with pytest.raises(UserError, match="without dropout"):
        build(BpeConfig(path=files.write(tokenizer, tmp_path, model=model | {"dropout": 0.1})))
    with pytest.raises(UserError, match=r"has \d+ symbols, not 999"):
        build(BpeConfig(path=files.write(tokenizer, tmp_path), vocab_size=999))
    with pytest.raises(UserError, match="cannot read"):
        build(BpeConfig(path=str(tmp_path / "absent.json")))
    (tmp_path / "tokenizer.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        build(BpeConfig(path=str(tmp_path)))
