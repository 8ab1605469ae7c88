"""Linear probes find what is in the states, and nothing in labels that are not."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.evaluate.loaded import LoadedRun
from isobyte.evaluate.probes import PROBES, probe_run
from isobyte.evaluate.probes.layers import (
    Examples,
    common_words,
    control_labels,
    draw_places,
    hides,
    labelled,
    lacks_layers,
    measure_layers,
    recorded,
    states,
    utf8_places,
    view_of,
    word_examples,
)
from isobyte.evaluate.probes.linear import LEAST, Split, by_window, common_classes, frequencies, probe
from isobyte.objective.network import build_network
from isobyte.representation.bytes_ import Bytes
from isobyte.train.folder import RunFolder
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

OBJECTIVES: dict[str, dict[str, Any]] = {
    "ar": {"kind": "ar"},
    "masked": {"kind": "masked"},
    "masked-told": {"kind": "masked", "time_conditioning": True},
    "span": {"kind": "span"},
    "block": {"kind": "block", "block": 4},
    "block-whole": {"kind": "block", "block": 16},
    "any_order": {"kind": "any_order"},
    "eso": {"kind": "eso"},
    "eso-uncached": {"kind": "eso", "cached": False},
    "eso-masked": {"kind": "eso", "alpha0": 1.0},
}
HIDE = {"masked", "masked-told", "span", "block-whole", "eso-masked"}
LEFT = {"ar", "any_order", "eso", "eso-masked"}
each_objective = pytest.mark.parametrize("name", OBJECTIVES)
WINDOWS = 96


def untrained(name: str) -> LoadedRun:
    """A float64 network of random weights."""
    config = RunConfig.model_validate(run_data() | {"objective": OBJECTIVES[name]})
    model = build_network(config.backbone, config.objective, 256).double().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64) / weight.shape[1] ** 0.5)
    return LoadedRun(RunFolder(Path("nowhere")), config, Bytes(), model, torch.device("cpu"))


def some_windows(count: int = WINDOWS) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, 256, (count, 16))


def bytes_of(x_WT: NDArray[np.int64], label_WT: NDArray[np.int64] | None = None) -> Examples:
    places = draw_places(x_WT, 0)
    return labelled(x_WT, places, np.zeros_like(x_WT) if label_WT is None else label_WT)


def test_what_hooks_record_are_the_networks_own_hidden_states() -> None:
    model = untrained("masked").model
    view, _ = view_of(
        untrained("masked").config.objective, torch.from_numpy(some_windows(3)), torch.zeros(3, 16) > 0, 256
    )
    with recorded(model) as layers:  # pyright: ignore[reportArgumentType]
        out = model(view.inputs, view.mask)
        model(view.inputs[:1], view.mask)
        assert len(layers) == 3, "those of the last pass alone"
        assert len(layers[0]) == 1
        out = model(view.inputs, view.mask)
        found = list(layers)
    torch.testing.assert_close(found[0], model.embedding(view.inputs), rtol=0, atol=0)
    h_BSD = found[0]
    rotations = model._rotations(16, torch.device("cpu"), None)  # pyright: ignore[reportCallIssue]
    for block, wanted in zip(model.blocks, found[1:], strict=True):
        h_BSD = block(h_BSD, rotations, view.mask, model.kernel, None)
        torch.testing.assert_close(h_BSD, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.norm(h_BSD), out, rtol=1e-12, atol=1e-12)


@each_objective
def test_a_byte_is_probed_where_it_stands(name: str) -> None:
    """The first layer is the embedding of the byte itself, or of what hides it."""
    run, x_WT = untrained(name), some_windows(7)
    examples = bytes_of(x_WT)
    table = run.model.embedding.weight.float().numpy()  # pyright: ignore[reportAttributeAccessIssue]
    shown = states(run, x_WT, examples, hidden=False)
    np.testing.assert_array_equal(shown[0], table[x_WT[examples.window_N, examples.place_N]])
    assert shown.shape == (3, len(examples.place_N), 16)
    assert hides(run.config) is (name in HIDE)
    if name in HIDE:
        hidden = states(run, x_WT, examples, hidden=True)
        np.testing.assert_array_equal(hidden[0], np.tile(table[256], (len(hidden[0]), 1)))


@each_objective
def test_states_have_seen_what_they_should(name: str) -> None:
    """At byte 6: that byte and those before it move them; those after it where the network sees both ways."""
    run, x_WT = untrained(name), some_windows(1)
    at = Examples(*(np.array([value]) for value in (0, 6, 2, 0, 0)))
    views = (False, True) if name in HIDE else (False,)
    for hidden in views:
        before = states(run, x_WT, at, hidden=hidden)[-1]
        moves = []
        for place in range(16):
            other = x_WT.copy()
            other[0, place] ^= 1
            moves.append(bool(np.abs(states(run, other, at, hidden=hidden)[-1] - before).max() > 1e-6))
        assert moves[:5] == [True] * 5
        assert moves[5] is moves[6] is (not hidden)
        within = name == "block"
        assert moves[7:] == [within] + [False] * 8 if within else moves[7:] == [hidden or name not in LEFT] * 9


def test_order_and_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    run, x_WT = untrained("masked"), some_windows(9)
    examples = bytes_of(x_WT)
    shuffled = np.random.default_rng(0).permutation(len(examples.place_N))
    for hidden in (False, True):
        whole = states(run, x_WT, examples, hidden=hidden)
        monkeypatch.setattr("isobyte.evaluate.probes.layers.rows_at_once", lambda *_: 2)
        again = states(run, x_WT, examples.some(shuffled), hidden=hidden)
        np.testing.assert_allclose(again, whole[:, shuffled], rtol=1e-5, atol=1e-6)
        monkeypatch.undo()


def test_a_planted_label_is_found_in_its_layer_and_shuffled_ones_nowhere() -> None:
    run, x_WT = untrained("masked"), some_windows(400)
    examples = bytes_of(x_WT)
    state_ND = states(run, x_WT, examples, hidden=False)[2]
    direction_D = np.random.default_rng(1).normal(size=16)
    reads = (state_ND - state_ND.mean(0)) @ direction_D
    planted = examples._replace(label_N=(reads > 0).astype(np.int64))
    found = measure_layers(run, x_WT, planted, "planted", 0)
    last, first = found["views"]["shown"][2], found["views"]["shown"][0]
    assert last["accuracy"]["mean"] > 0.97
    assert last["information"]["mean"] > 0.9 * found["entropy_bits"]["mean"]
    assert first["accuracy"]["mean"] < last["accuracy"]["mean"] - 0.1
    shuffled = planted._replace(label_N=np.random.default_rng(2).permutation(planted.label_N))
    found = measure_layers(run, x_WT, shuffled, "shuffled", 0)
    for layers in found["views"].values():
        for layer in layers:
            assert layer["information"]["mean"] < 3 * layer["information"]["stderr"] + 1e-6
            assert abs(layer["accuracy"]["mean"] - 0.5) < 4 * layer["accuracy"]["stderr"]


def test_what_is_hidden_is_told_by_its_neighbours_alone() -> None:
    """The byte itself is not: its value is read off the state that shows it, off the other it is not."""
    run, x_WT = untrained("masked"), some_windows(256)
    examples = bytes_of(x_WT, x_WT % 2)
    found = measure_layers(run, x_WT, examples, "parity", 0)["views"]
    neighbour = bytes_of(x_WT, np.roll(x_WT // 128, 1, 1))
    assert found["hidden"][0]["information"]["mean"] == pytest.approx(0, abs=0.01)
    assert abs(found["hidden"][2]["accuracy"]["mean"] - 0.5) < 4 * found["hidden"][2]["accuracy"]["stderr"]
    assert measure_layers(run, x_WT, neighbour, "n", 0)["views"]["shown"][0]["information"]["mean"] < 0.01
    easy = measure_layers(run, x_WT, bytes_of(x_WT % 4, x_WT % 4), "value", 0)["views"]
    assert abs(easy["hidden"][1]["accuracy"]["mean"] - 0.25) < 5 * easy["hidden"][1]["accuracy"]["stderr"]
    assert measure_layers(run, x_WT % 4, bytes_of(x_WT % 4, x_WT % 4), "value", 0)["views"]["shown"][1]["accuracy"][
        "mean"
    ] == pytest.approx(1, abs=0.01)


def test_probing_leaves_the_network_as_it_was() -> None:
    run, x_WT = untrained("span"), some_windows()
    run.model.train()
    before = copy.deepcopy(run.model.state_dict())
    measure_layers(run, x_WT, bytes_of(x_WT, x_WT % 2), "parity", 0)
    with pytest.raises(ZeroDivisionError), recorded(run.model):  # pyright: ignore[reportArgumentType]
        raise ZeroDivisionError
    assert all(torch.equal(before[key], value) for key, value in run.model.state_dict().items())
    assert run.model.training
    for module in run.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def windowed(count: int, each: int = 4) -> Split:
    return Split(np.repeat(np.arange(count), each))


def test_a_probe_comes_close_to_the_true_information() -> None:
    """Labels drawn by a known logistic law of the states."""
    random, split = np.random.default_rng(0), windowed(3000)
    state_ND = random.normal(size=(12000, 5)) * [1, 10, 0.1, 1, 1] + 3
    weights_DC = random.normal(size=(5, 3)) / np.array([1, 10, 0.1, 1, 1])[:, None]
    logits = (state_ND - 3) @ weights_DC
    p_NC = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label_N = (p_NC.cumsum(1) > random.random((12000, 1))).argmax(1)
    true_bits = -np.log2(p_NC[np.arange(12000), label_N])[split.test]
    found = probe(state_ND, label_N, split)
    assert 0 <= found.bits_N.mean() - true_bits.mean() < 0.005
    assert abs(found.correct_N.mean() - (p_NC.argmax(1) == label_N)[split.test].mean()) < 0.005
    base = frequencies(label_N, split)
    share_C = np.bincount(label_N) / len(label_N)
    assert base.bits_N.mean() == pytest.approx(-(share_C * np.log2(share_C)).sum(), abs=0.01)
    assert base.correct_N.mean() == pytest.approx(share_C.max(), abs=0.02)


def test_many_weights_and_no_law_are_held_down_by_the_ridge() -> None:
    """Sixty coordinates, forty examples to fit: the ridge is chosen on windows of their own."""
    random, split = np.random.default_rng(3), windowed(100, 1)
    label_N = random.integers(0, 2, 100)
    found = probe(random.normal(size=(100, 60)), label_N, split)
    assert found.bits_N.mean() < 1.4


def test_windows_serve_one_end() -> None:
    split = windowed(32)
    parts = np.stack([split.fit, split.choose, split.test])
    assert (parts.sum(0) == 1).all()
    assert [int(part.sum()) // 4 for part in parts] == [12, 4, 16]
    for window in range(32):
        assert len(np.unique(parts[:, split.window_N == window], axis=1).T) == 1


def test_rare_classes_are_left_out() -> None:
    split = windowed(16)
    label_N = np.zeros(64, np.int64)
    label_N[split.fit.nonzero()[0][: LEAST - 1]] = 1
    label_N[split.fit.nonzero()[0][-LEAST:]] = 2
    label_N[split.test.nonzero()[0][:9]] = 3
    assert set(label_N[common_classes(label_N, split)]) == {0, 2}


def test_means_are_over_the_windows_that_are_scored() -> None:
    split = Split(np.array([0, 1, 1, 1, 3]))
    found = by_window(np.array([1.0, 0.0, 2.0, 5.0]), split)
    assert found["units"] == 2
    assert found["mean"] == pytest.approx(2)
    assert found["stderr"] == pytest.approx(math.sqrt((9 + 9) * 2) / 4)


def test_a_control_task_draws_a_label_for_each_identity() -> None:
    x_WT = some_windows(100)
    examples = bytes_of(x_WT, (x_WT % 8 == 0).astype(np.int64))
    found = control_labels(examples, "a", 0)
    for identity in np.unique(examples.identity_N):
        assert len(set(found[examples.identity_N == identity])) == 1
    assert 0.05 < found.mean() < 0.25
    assert not np.array_equal(found, control_labels(examples, "b", 0))


def test_places_in_characters() -> None:
    x_WT = np.frombuffer("aé€𝄞b".encode() + b"\x80" * 5, np.uint8).astype(np.int64)[None]
    assert utf8_places(x_WT).tolist() == [[0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 3, 3]]


def test_words_end_where_they_are_probed() -> None:
    texts = [b"ab the cat. the", b"the cats, cat; ", b"a cat catcat c ", b"xy z zz wxyz cat"]
    x_WT = np.array([list(text.ljust(16)) for text in texts])
    words = common_words([b"the cat the cats a a a a cat the"])
    assert words == [b"the", b"cat", b"cats"]
    found = word_examples(x_WT, words, 0)
    rows = list(zip(found.window_N, found.place_N, found.length_N, found.label_N, strict=True))
    assert rows == [(0, 5, 3, 0), (0, 9, 3, 1), (0, 14, 3, 0), (1, 7, 4, 2), (1, 12, 3, 1), (2, 4, 3, 1)]
    assert found.identity_N.tolist() == found.label_N.tolist()
    assert not len(word_examples(x_WT, [], 0).label_N)


def test_bytes_are_drawn_once_and_never_the_last() -> None:
    windows, places = draw_places(some_windows(50), 0)
    assert len({*zip(windows.tolist(), places.tolist(), strict=True)}) == 50 * 15
    assert set(places) == set(range(15))
    assert np.bincount(draw_places(some_windows(1024), 0)[0]).tolist() == [2] * 1024


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    config = RunConfig.model_validate(run_data("masked", steps=4))
    train(
        config, prepare(config.data, config.representation, folder / "data"), folder / "run", runtime=Runtime(threads=1)
    )
    return folder / "run"


def test_a_run_is_probed(trained: Path, tmp_path: Path) -> None:
    text = "the cat sät ön the mät — and sö did the others, "
    (tmp_path / "text").write_text(text * 120)
    own = probe_run(trained, ["layers"], device="cpu", vocab=300)["probes"]["layers"]
    found = probe_run(trained, ["layers"], data=tmp_path / "text", device="cpu", vocab=300)["probes"]["layers"]
    json.dumps([own, found], allow_nan=False)
    assert own["tokenizer"]["vocab_size"] == 300
    for views in (own["targets"]["boundary"]["views"], found["targets"]["utf8"]["views"]):
        for view in ("shown", "hidden"):
            assert [layer["layer"] for layer in views[view]] == [0, 1, 2]
    assert found["targets"]["utf8"]["classes"] == 3
    assert found["targets"]["utf8"]["views"]["shown"][0]["information"]["mean"] > 0.2
    (tmp_path / "text").write_text("only plain letters " * 300)
    found = probe_run(trained, ["layers"], data=tmp_path / "text", device="cpu", vocab=260)["probes"]["layers"]
    assert found["targets"]["utf8"]["views"] is None
    assert "of another class" in found["targets"]["utf8"]["reason"]


def test_boundaries_are_those_before_the_next_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a tokenizer whose tokens begin with the byte 7, the label is known from what comes next."""
    from isobyte.evaluate.probes import ProbeSettings, layers

    seen: dict[str, Examples] = {}

    def measure(_run: LoadedRun, _x: NDArray[np.int64], examples: Examples, name: str, _seed: int) -> dict[str, Any]:
        seen[name] = examples
        return {}

    x_WT = some_windows(40) % 9
    monkeypatch.setattr(layers, "measure_layers", measure)
    monkeypatch.setattr(layers, "tokenizer_of", lambda *_: Bytes())
    monkeypatch.setattr(layers, "training_text", lambda *_: [b""])
    monkeypatch.setattr(layers, "token_starts", lambda _, x: x == 7)
    stream = Stream.of([x_WT.astype(np.uint8).tobytes()], Bytes())
    layers.probe_layers(untrained("masked"), stream, ProbeSettings())
    found = seen["boundary"]
    np.testing.assert_array_equal(found.label_N, x_WT[found.window_N, found.place_N + 1] == 7)
    np.testing.assert_array_equal(found.identity_N, x_WT[found.window_N, found.place_N])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"permutation": {"kind": "window"}}, "shuffled"),
        ({"representation": {"kind": "bpe", "vocab_size": 300}}, "not bytes"),
        ({"objective": {"kind": "digits"}}, "digits"),
        ({"train": run_data(window=4)["train"]}, "too short"),
    ],
    ids=["permuted", "bpe", "digits", "short"],
)
def test_runs_without_such_states(changed: dict[str, Any], why: str) -> None:
    assert why in (lacks_layers(RunConfig.model_validate(run_data() | changed)) or "")


def test_every_objective_over_bytes_has_the_probe() -> None:
    assert PROBES["layers"].lacks is lacks_layers
    for objective in OBJECTIVES.values():
        assert lacks_layers(RunConfig.model_validate(run_data() | {"objective": objective})) is None


def test_a_text_of_one_window_is_refused(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"abc" * 8)
    with pytest.raises(UserError, match="no two windows"):
        probe_run(trained, ["layers"], data=tmp_path / "text", device="cpu")
