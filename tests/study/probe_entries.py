"""What a study keeps of probed runs, in the shape that probes give, with numbers that can be told apart."""

import json
from typing import Any

VISIBLE, GAPS, LOST = (2, 4, 8, 16), (0, 1, 2, 4, 8), (1, 2, 4, 8)
STDERR = 0.05

Entry = dict[str, Any]


def measured(mean: float | None, stderr: float | None = STDERR) -> dict[str, Any]:
    return {"mean": mean, "stderr": None if mean is None else stderr, "units": 32}


def entry(
    design: str,
    budget: float = 1e12,
    *,
    level: float = 2.0,
    bpb: float = 2.0,
    size: str = "w32",
    around: bool = True,
    probes: tuple[str, ...] = ("words", "fragility", "segmentation", "layers"),
) -> Entry:
    """Of a run over bytes. `level` is added to, so it tells runs apart; `around` is of one that sees both sides."""
    found = {
        "words": words(level, around), "fragility": fragility(level, around),
        "segmentation": segmentation(level, around), "layers": layers(level, around),
    }  # fmt: skip
    run = {
        "hash": "0" * 64, "objective": {"kind": "masked" if around else "ar"},
        "representation": {"kind": "bytes", "vocab_size": 256}, "backbone": "flat", "window": 64, "N": 25000,
        "flops": 0.99 * budget, "data_bytes": 10**6, "likelihood": {"bpb": bpb, "kind": "bound"},
    }  # fmt: skip
    place = {"design": design, "budget": budget, "size": size, "seed": 0, "folder": f"runs/{design}_{budget:.3g}"}
    whole = place | {"run": run, "data": None, "seed": 0, "probes": {name: found[name] for name in probes}}
    return json.loads(json.dumps(whole, allow_nan=False))


def words(level: float, around: bool) -> dict[str, Any]:
    """`level` + n / 100 + gap / 10 bits per byte; 0.001 less of layout both."""
    grid = [("left", n, gap) for n in VISIBLE for gap in (GAPS if around else (0,))]
    grid += [("both", n, gap) for n in VISIBLE for gap in GAPS] if around else []
    cells = [
        {
            "layout": layout, "n": n, "gap": gap, "visible_bytes": 2.0 * n,
            "bits_per_byte": measured(level + n / 100 + gap / 10 - 0.001 * (layout == "both")),
            "exact": measured(0.25),
        }
        for layout, n, gap in grid
    ]  # fmt: skip
    about = {"unit": "word", "words": 32, "word_bytes": 190, "matched": "cells of layout left and gap 0"}
    return about | {"cells": cells, "unigram": measured(4.5)}


def fragility(level: float, around: bool) -> dict[str, Any]:
    """Near costs `level` + k / 10 bits, far 0.1, and half of that where lost bytes are masked."""
    lost = {
        str(k): {
            treatment: {
                "near": measured(share * (level + k / 10)),
                "far": measured(share * 0.1),
                "near_less_far": measured(share * (level + k / 10 - 0.1)),
            }
            for treatment, share in (("resampled", 1.0), ("masked", 0.5))[: 1 + around]
        }
        for k in LOST
    }
    return {
        "unit": "window", "score": "bits per byte of single bytes given the others: no likelihood",
        "context": "around" if around else "left", "windows": 32, "bytes": 256, "far_distance": 16,
        "base": measured(level), "lost": lost,
    }  # fmt: skip


def segmentation(level: float, around: bool) -> dict[str, Any]:
    """F1 is `level` / 10 above the shifted one."""
    agreement = {"f1": measured(0.2 + level / 10), "shifted": measured(0.2), "difference": measured(level / 10)}
    truths = ("word", "token", "token_letter", "subword")
    context = {"entropy_bits": measured(3.0)} | {
        truth: {"entropy": agreement, "rise": agreement, "contrast": measured(1.5)} for truth in truths
    }
    return {
        "unit": "window", "windows": 32, "bytes": 1792, "boundaries": dict.fromkeys(truths, 300),
        "contexts": dict.fromkeys(("left", "around")[:1 + around], context),
        "tokenizer": {"kind": "bpe", "vocab_size": 512, "sha256": "0" * 64},
    }  # fmt: skip


def layers(level: float, around: bool) -> dict[str, Any]:
    """`level` / 10 bits of information at the embedding, and 0.1 more with every block."""
    views = {
        view: [
            {
                "layer": layer, "information": measured(level / 10 + layer / 10), "accuracy": measured(0.8),
                "control": measured(0.5), "selectivity": measured(0.3),
            }
            for layer in range(3)
        ]
        for view in ("shown", "hidden")[: 1 + around]
    }  # fmt: skip
    target = {
        "classes": 2, "examples": {"fit": 100, "test": 100}, "entropy_bits": measured(0.9), "majority": measured(0.6),
        "views": views,
    }  # fmt: skip
    without = {"views": None, "reason": "too few bytes of the windows are of another class than the others"}
    return {
        "unit": "window", "windows": 32, "words": ["the", "of"],
        "tokenizer": {"kind": "bpe", "vocab_size": 512, "sha256": "0" * 64},
        "targets": {"boundary": target, "word": target, "utf8": without},
    }  # fmt: skip
