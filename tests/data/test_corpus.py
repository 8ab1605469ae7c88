"""Corpora that come without files: bundled, standard library, hub; and how documents are cut."""

import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobyte.config.data import DataConfig, HubCorpus, SotuCorpus, StdlibCorpus, SyntheticCorpus
from isobyte.data import sotu
from isobyte.data.corpus import _cut, documents, read, source
from isobyte.errors import UserError
from isobyte.representation.cut import pieces


def test_sotu() -> None:
    found = [(name, b"".join(blocks)) for name, blocks in documents(SotuCorpus())]
    assert len(found) == 233
    assert sum(len(text) for _, text in found) == source(SotuCorpus())["bytes"] == 10_761_413
    assert [name for name, _ in found] == sorted(name for name, _ in found)
    assert found[0][0] == "1790_george_washington_n"
    assert found[-1][0] == "2021_joseph_r_biden_d"
    assert found[1][1].startswith(b"Fellow-Citizens of the Senate")


def test_a_changed_bundle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sotu, "_SHA256", "0" * 64)
    sotu._content.cache_clear()
    with pytest.raises(UserError, match="not the one shipped"):
        next(documents(SotuCorpus()))


def test_stdlib() -> None:
    names = [name for name, _ in documents(StdlibCorpus())]
    assert names == sorted(names)
    assert {"argparse.py", "json/decoder.py"} <= set(names)
    assert not any({"test", "tests", "site-packages"} & set(name.split("/")) for name in names)
    record = source(StdlibCorpus())
    assert sys.version.split()[0].rstrip("+") in record["name"]
    assert record["bytes"] > 1_000_000


def test_the_hub_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'isobyte\[datasets\]'"):
        next(documents(HubCorpus(name="somebody/something")))


def test_hub_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def load_dataset(*args: object, **options: object) -> list[dict[str, object]]:
        asked.append((args, options))
        return [{"text": "one"}, {"text": "zwei é"}]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    config = HubCorpus(name="a/b", subset="en", separator="\n", revision="abc")
    assert [b"".join(d.blocks) for d in documents(config)] == [b"one\n", "zwei é\n".encode()]
    assert asked == [(("a/b", "en"), {"split": "train", "revision": "abc", "streaming": True})]
    with pytest.raises(UserError, match=r"no column 'body'.*one of: text"):
        next(documents(config.model_copy(update={"column": "body"})))


def test_a_dataset_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(UserError, match="hub dataset a/b: cannot load it: no route"):
        next(documents(HubCorpus(name="a/b")))


@given(blocks=st.lists(st.binary(max_size=40)), limit=st.integers(1, 30))
def test_blocks_do_not_show_in_the_pieces(blocks: list[bytes], limit: int) -> None:
    assert list(_cut(blocks, limit)) == list(pieces(b"".join(blocks), limit))


def test_max_bytes_is_exact() -> None:
    data = DataConfig(corpus=SyntheticCorpus(documents=5, document_bytes=100), max_bytes=250)
    everything = b"".join(read(data.model_copy(update={"max_bytes": None}), 64))
    assert b"".join(read(data, 64)) == everything[:250]
    assert all(read(data, 64))
