"""Fast BLT's tables (arXiv 2605.08044): by which rule they were counted, and against patches of 4 bytes."""

import pytest

from isobyte.cost.bandwidth import PUBLISHED, published_bandwidth
from isobyte.cost.published import Recount, Row, baseline, not_available, recount, rows, task_names, telling

TRUNCATED = {"1B": (0.157834e9, 1.304027e9), "3B": (0.159915e9, 2.844485e9)}
"""Parameters for which every printed number follows from calls that were cut, not rounded, to whole ones."""


def row(size: str, task: str, name: str) -> Row:
    return next(row for row in rows() if (row.size, row.task, row.name) == (size, task, name))


def counted(name: str, size: str = "3B", task: str = "fr-en") -> Recount:
    return recount(row(size, task, name))


def test_the_tables_are_whole() -> None:
    assert len(rows()) == len({(row.size, row.task, row.name) for row in rows()}) == 223
    assert not_available() == [("3B", "mbpp", "DV 4 confidence 0.3")]
    # what the publication says of its own tables, in whole points
    for method, most in (("D", 0.92), ("DV", 0.81), ("S", 0.77)):
        found = [recount(row).savings["published"] or 0 for row in rows() if row.method == method]
        assert max(found) == pytest.approx(most, abs=0.01)
    assert counted("S 4", "1B", "humaneval").savings["published"] == pytest.approx(0.005, abs=5e-4)


def test_verified_drafts_have_one_text() -> None:
    """All settings of BLT-S score what BLT scores, all of a BLT-DV the same."""
    for size in ("1B", "3B"):
        for task in task_names():
            here = [row for row in rows() if (row.size, row.task) == (size, task)]
            assert len({row.score for row in here if row.method in ("BLT", "S")}) == 1
            for block in (4, 8, 16):
                assert len({row.score for row in here if (row.method, row.block) == ("DV", block)}) == 1


def test_the_formula_reproduces_every_printed_number() -> None:
    """All within 2.1 %; of rows with more than 100 calls of the latent transformer, all but four within 0.5 %."""
    off = {row: abs(recount(row).formula / row.gigabytes - 1) for row in rows()}
    assert max(off.values()) < 0.021
    many = {row: value for row, value in off.items() if row.latent > 100}
    assert len(many) > 100
    assert max(many.values()) < 0.0056
    assert {(row.size, row.task, row.name) for row, value in many.items() if value > 0.005} == {
        ("3B", "mbpp", "DV 4 one step"),
        ("1B", "mbpp", "DV 4 entropy 2"),
        ("1B", "humaneval", "DV 8 entropy 2"),
        ("1B", "de-en", "DV 8 one step"),
    }


def test_what_the_formula_misses_is_calls_cut_to_whole_ones() -> None:
    """No number is a slip of print: each lies between its calls and one more of each, to the last digit."""
    for row in rows():
        parameters = TRUNCATED[row.size]
        most = row.decoder + (row.method != "BLT"), row.latent + (row.method != "D")
        least = published_bandwidth(row.decoder, row.latent, parameters) / 1e9
        assert least - 0.005 <= row.gigabytes <= published_bandwidth(*most, parameters) / 1e9 + 0.005, row


def test_the_rule_of_counting() -> None:
    """BLT-D encodes once a block; BLT-S and BLT-DV twice a round, after at most `block` drafting calls and one."""
    for row in rows():
        length = baseline(row.size, row.task).published.decoder
        if row.method == "BLT":
            assert length == (256 if row.task == "mbpp" else 512)
            assert row.rounds is None
        elif row.method == "D":
            assert row.block is not None
            assert row.rounds == row.latent == length / row.block
            assert 1 <= row.decoder / row.rounds <= row.block
        else:
            assert row.block is not None
            assert row.rounds == row.latent / 2
            drafted = (row.decoder / row.rounds - 1, (row.decoder + 1) / (row.rounds + 0.5) - 1)
            if row.policy == "one step":
                assert row.decoder == row.latent
            elif row.method == "DV":
                assert min(drafted) >= 1
                assert max(drafted) <= row.block
            else:
                # printed calls are cut, and the last round of a text has no more to draft than is left
                whole = (row.block + 1) * row.rounds
                assert whole - row.block <= row.decoder <= whole + (row.block + 1) / 2


def test_bytes_a_patch_of_the_published_baseline() -> None:
    for size, expected in (("3B", (1.66, 1.81, 2.05, 1.15)), ("1B", (2.05, 1.90, 2.44, 1.16))):
        for task, value in zip(task_names(), expected, strict=True):
            assert baseline(size, task).bytes_per_patch == pytest.approx(value, abs=0.005)


def test_patches_of_four_bytes() -> None:
    """By hand: 512 decoder calls of 0.3188 GB and 128 of 5.7064; of MBPP half; 512 bytes / 4.4 times 5.64 for BPE."""
    base = baseline("3B", "fr-en")
    assert base.honest == pytest.approx(893.6, abs=0.1)
    assert base.scorer == pytest.approx(512 * 0.199)
    assert base.bpe == pytest.approx(656, abs=0.5)
    assert baseline("3B", "mbpp").honest == pytest.approx(893.6 / 2, abs=0.1)
    assert baseline("1B", "fr-en").honest == pytest.approx(512 * 0.3188 + 128 * 2.6078, rel=1e-6)
    saved = counted("D 4 confidence 0.7").savings
    assert saved["published"] == pytest.approx(0.585, abs=0.001)
    assert saved["patches"] == pytest.approx(1 - 799.3 / 893.6, abs=0.001)
    assert saved["scorer"] == pytest.approx(1 - (799.3 + 128 * 0.199) / (893.6 + 512 * 0.199), abs=0.001)
    assert saved["scorer_once"] == saved["scorer"]


def test_one_pass_a_round() -> None:
    expected = {"S 4": 784, "S 8": 556, "S 16": 479, "DV 4 one step": 688, "DV 8 one step": 422, "DV 16 one step": 314}
    for name, gigabytes in expected.items():
        assert counted(name).one_pass == pytest.approx(gigabytes, abs=0.5), name
    assert counted("BLT").one_pass is counted("D 4 confidence 0.5").one_pass is None
    # 65 rounds: 580 decoder calls, 65 passes, the scorer 130 times, then 65 times
    found = counted("S 8")
    both = published_bandwidth(580, 65, PUBLISHED["3B"]) / 1e9
    whole = 893.6 + 512 * 0.199
    assert found.savings["one_pass"] == pytest.approx(1 - both / 893.6, abs=1e-4)
    assert found.savings["one_pass_scorer"] == pytest.approx(1 - (both + 65 * 0.199) / whole, abs=1e-4)
    assert found.savings["scorer"] == pytest.approx(1 - (found.formula + 130 * 0.199) / whole, abs=1e-4)
    assert found.savings["scorer_once"] == pytest.approx(1 - (found.formula + 65 * 0.199) / whole, abs=1e-4)


def test_telling_rows_are_the_extremes() -> None:
    chosen = [(why, found.row.name) for why, found in telling("3B", "humaneval")]
    # three settings of BLT-D score 18.90: the one that reads least is shown
    assert chosen == [
        ("cheapest", "S 16"),
        ("cheapest", "D 16 confidence 0.5"),
        ("best score", "D 4 confidence 0.7"),
        ("cheapest", "DV 16 confidence 0.3"),
    ]
