"""Controls of several designs, each measured once however many of them read and ask alike."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from isobyte.config.run import RunConfig
from isobyte.config.study import DesignConfig
from isobyte.evaluate.controls.measure import MAX_BYTES, permutation_controls, subject
from isobyte.evaluate.controls.texts import Texts
from isobyte.representation import Representation as Alphabet

Design = RunConfig | DesignConfig
Watch = Callable[[Iterable[Design]], Iterable[Design]]


def designs_controls(
    designs: Mapping[str, Design],
    texts: Texts,
    tokens: Alphabet,
    *,
    max_bytes: int = MAX_BYTES,
    seed: int = 0,
    watch: Watch = iter,
) -> dict[str, dict[str, Any]]:
    """`permutation_controls` of each design by name; `watch` passes the designs on as they are worked off."""
    known: dict[str, dict[str, Any]] = {}
    for config in watch(designs.values()):
        of = subject(config)
        if of.content_hash() not in known:
            text = texts.stream(of.representation)
            known[of.content_hash()] = permutation_controls(of, text, tokens, max_bytes=max_bytes, seed=seed)
    return {name: known[subject(config).content_hash()] for name, config in designs.items()}
