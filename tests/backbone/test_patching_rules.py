"""Every rule: as its table says, the same from any prefix, and the same byte by byte, in pieces and at once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from patching_reference import Noisy, cut, noise, rules, uncapped

from isobyte.backbone.patching.rules import Rows, rows_of
from isobyte.config.patching import BytePatching, EntropyPatching, Patching, SpacePatching, StaticPatching

CASES = [
    pytest.param(rule, id=f"{getattr(rule, 'rule', rule.kind)}-{cap}") for cap in (None, 1, 2, 5) for rule in rules(cap)
]
CASES.append(pytest.param(BytePatching(), id="byte"))

_BYTES = st.one_of(
    st.sampled_from([ord(c) + 4 for c in "ab 09,AZ_\n"]), st.integers(4, 259), st.sampled_from([0, 1, 2, 2, 3])
)
TEXTS = st.lists(_BYTES, min_size=0, max_size=24).map(lambda rest: [1, *rest])


def starts_of(rule: Patching, ids: list[int]) -> list[bool]:
    return Noisy(rule).starts(torch.tensor([ids]))[0].tolist()


@pytest.mark.parametrize("rule", CASES)
@given(ids=TEXTS)
def test_starts_are_those_of_the_table(rule: Patching, ids: list[int]) -> None:
    expected = cut(uncapped(rule, ids, noise(ids)), rule.max_length)
    assert starts_of(rule, ids) == expected


@pytest.mark.parametrize("rule", CASES)
@given(ids=TEXTS)
def test_a_prefix_has_the_starts_of_the_whole(rule: Patching, ids: list[int]) -> None:
    whole = starts_of(rule, ids)
    for stop in range(1, len(ids)):
        assert starts_of(rule, ids[:stop]) == whole[: stop + 1]


@pytest.mark.parametrize("rule", CASES)
@given(ids=TEXTS, data=st.data())
def test_in_pieces_and_one_by_one_as_at_once(rule: Patching, ids: list[int], data: st.DataObject) -> None:
    patcher, ids_BT = Noisy(rule), torch.tensor([ids, [1, *reversed(ids[1:])]])
    rows = rows_of(ids_BT, patcher.entropies(ids_BT))
    whole = patcher.starts(ids_BT)
    for sizes in ([1] * len(ids), data.draw(st.lists(st.integers(1, 6), min_size=len(ids), max_size=len(ids)))):
        start_B, place, found = torch.zeros(2, dtype=torch.long), 0, [torch.ones(2, 1, dtype=torch.bool)]
        for size in sizes:
            part = slice(place, min(place + size, len(ids)))
            if part.start >= part.stop:
                break
            chunk = Rows(*(None if field is None else field[:, part] for field in vars(rows).values()))  # type: ignore[arg-type]
            after, begins = patcher.opens(chunk, start_B)
            for b in range(2):
                for s in range(after.shape[1]):  # the start that it tells of is the last one found
                    known = torch.cat((*found, after), 1)[b, : part.start + s + 2]
                    assert int(begins[b, s]) == int(known.nonzero().max())
            found.append(after)
            start_B, place = begins[:, -1], part.stop
        assert torch.equal(torch.cat(found, 1), whole)


@pytest.mark.parametrize("rule", [case for case in CASES if getattr(case.values[0], "max_length", None)])
@given(ids=TEXTS)
def test_no_patch_is_longer_than_the_cap(rule: Patching, ids: list[int]) -> None:
    starts = [place for place, start in enumerate(starts_of(rule, ids)) if start]
    assert rule.max_length is not None
    ends = [*starts[1:], len(ids) + 1]
    assert max(end - start for start, end in zip(starts, ends, strict=True)) <= rule.max_length


@pytest.mark.parametrize("rule", CASES)
@given(texts=st.lists(TEXTS, min_size=2, max_size=4))
def test_rows_do_not_influence_each_other(rule: Patching, texts: list[list[int]]) -> None:
    length = max(map(len, texts))
    padded = [text + [0] * (length - len(text)) for text in texts]
    together = Noisy(rule).starts(torch.tensor(padded)).tolist()
    assert together == [starts_of(rule, text) for text in padded]


@pytest.mark.parametrize("rule", CASES)
@given(ids=TEXTS)
def test_a_patch_opens_after_an_end_only_where_documents_matter(rule: Patching, ids: list[int]) -> None:
    ids_BT = torch.tensor([ids])
    without = Noisy(rule, documents=False).starts(ids_BT)[0].tolist()
    assert without == cut(uncapped(rule, ids, noise(ids), documents=False), rule.max_length)
    starts = starts_of(rule, ids)
    assert all(starts[place + 1] for place, each in enumerate(ids) if each == 2)


def test_rules_on_a_text_by_hand() -> None:
    """Written out, so that table and reference cannot be wrong in the same way."""

    def shown(rule: Patching, text: str) -> str:
        ids = [1, *(byte + 4 for byte in text.encode())]
        parts = [part.encode() for part in text]
        assert len(parts) == len(text.encode())
        starts = starts_of(rule, ids)
        return "".join(("|" if starts[place + 1] else "") + char for place, char in enumerate(text))

    assert shown(SpacePatching(), "we, the 9th.") == "|we,| the |9th."
    assert shown(SpacePatching(max_length=2), "we, the 9th.") == "|we|,| t|he| |9t|h."
    assert shown(StaticPatching(size=3), "abcdefgh") == "|abc|def|gh"
    assert shown(StaticPatching(size=4, max_length=3), "abcdefgh") == "|abc|d|efg|h"
    assert shown(BytePatching(), "abc") == "|a|b|c"


def test_rules_of_rising_entropy_by_hand() -> None:
    entropy = torch.tensor([[9.0, 0.5, 0.9, 0.2, 0.4, 0.9, 0.95]])
    ids = torch.full((1, 7), 100)
    found = {}
    for rule in ("global", "monotonic", "both"):
        patcher = Noisy(EntropyPatching.model_validate(
            {"scorer": {"kind": "ngram"}, "rule": rule, "threshold": 0.45, "rise": 0.1}
        ))  # fmt: skip
        found[rule] = "".join("x" if start else "." for start in patcher.starts_by(ids, entropy)[0].tolist())
    # H_0 is never asked; x_2 opens whatever H_1; `both` then forbids x_3
    assert found == {"global": "xxxx..xx", "monotonic": "xxxx.xx.", "both": "xxx...x."}
