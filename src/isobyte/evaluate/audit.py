"""Is what a trained model calls a likelihood one? The checks that a bound can fail, on the run itself."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isobyte.config import objective as kinds
from isobyte.data.window import EvalWindows
from isobyte.evaluate.bpb import held_out_text, run_settings
from isobyte.evaluate.kraft import kraft_length, kraft_sums
from isobyte.evaluate.leak import leak
from isobyte.evaluate.leak_patches import patch_leak
from isobyte.evaluate.loaded import LoadedRun, load_run
from isobyte.likelihood.codec import Codec, groups
from isobyte.likelihood.enumeration import count_costs, enumerated_bound, schedule_bound
from isobyte.likelihood.estimator import build_estimator, companions, estimators
from isobyte.likelihood.evaluate import evaluate
from isobyte.likelihood.route import plan_route
from isobyte.likelihood.value import Likelihood
from isobyte.objective.base import LogProbs
from isobyte.objective.digits import objective_log_probs
from isobyte.objective.patchwise import grouping_of
from isobyte.objective.permutation import carried_log_probs, reading_of
from isobyte.objective.walk_digits import consistent_log_probs

SIGMAS = 4.0
ROUNDING = 1e-6
"""In float64, of sums over many windows."""
CODEC_SYMBOLS = 2048

Say = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One line of the audit. `passed` is None for what is shown beside, or could not be asked."""

    name: str
    what: str
    found: str
    passed: bool | None


@dataclass(frozen=True)
class Audit:
    likelihood: Likelihood
    companions: list[Likelihood]
    checks: list[Check]

    @property
    def passed(self) -> bool:
        return all(check.passed is not False for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "likelihood": self.likelihood.to_json(),
            "companions": [other.to_json() for other in self.companions],
            "checks": [asdict(check) for check in self.checks],
        }


@torch.inference_mode()
def audit_run(path: Path, *, data: Path | None = None, max_bytes: int = 32_768, say: Say = lambda _: None) -> Audit:
    """Audit the run in `path` on its held-out text, or on `data`. On the CPU.

    A failed check means: the number that this run reports as exact or as a bound is none.
    """
    run = load_run(path, "cpu")
    text = held_out_text(path, run, data)
    windows = list(EvalWindows(text, run.config.train.window, max_bytes).batches(256))
    log_probs = objective_log_probs(run.config.objective, run.model)

    def measure(name: str | None = None, seed: int = 0, passes: int | None = None) -> Likelihood:
        say(f"measuring {name or 'the likelihood'}")
        told = run_settings(run, seed=seed, passes=passes)
        return evaluate(log_probs, build_estimator(run.config.objective, told, name), windows)

    own = measure()
    beside = [measure(name) for name in companions(run.config.objective)]
    checks = [
        Check("likelihood", f"{own.kind}, by {own.estimator}", _value(own), None),
        *(
            Check("beside it", other.estimator if other.is_likelihood else other.label, _value(other), None)
            for other in beside
        ),
        *_agreement(run, own, measure),
    ]
    exact_run = _in_double(run)
    small = torch.from_numpy(windows[0][0][:4, : min(12, run.config.train.window)].copy()).long()
    say("looking for leaks")
    checks.append(_leakage(exact_run, small))
    checks += _schedules(exact_run, small[:, :6])
    say("summing over all short windows")
    checks += _kraft(exact_run, own)
    say("coding and decoding")
    checks += _codec(run, windows[0][0])
    return Audit(own, beside, checks)


def _value(found: Likelihood) -> str:
    sign = {"exact": "=", "bound": "<="}.get(found.kind, "")
    unit = found.label if found.is_likelihood else "bits per byte, no likelihood"
    spread = f" +- {found.stderr:.4f}" if found.stderr else ""
    return f"{sign} {found.value_bits_per_byte:.4f}{spread} {unit}".strip()


def _agreement(run: LoadedRun, own: Likelihood, measure: Callable[..., Likelihood]) -> Iterator[Check]:
    """Other seeds, and other ways to the same number; and numbers that may not lie below it."""
    if own.stderr:
        yield _same("another seed", own, measure(seed=1))
    ways = estimators(run.config.objective)
    if own.estimator == "count-stratified" and "t-stratified" in ways:
        yield _same("estimators agree", own, measure("t-stratified"))
        yield _not_below("T steps cost no less", measure("t-steps"), own)
    if own.estimator == "k-order":
        yield _not_below("single orders cost no less", measure("order"), own)
    if own.estimator == "patch-count":
        order = measure("patch-order")
        yield Check("beside it", f"{order.kind}, by {order.estimator}: patches from left to right", _value(order), None)
    if own.estimator == "digit-marginal":
        yield _same("estimators agree", own, measure(passes=own.nfe // own.windows * 2, seed=2))


def _same(name: str, own: Likelihood, other: Likelihood) -> Check:
    off, sigma = abs(own.bpb - other.bpb), math.hypot(own.stderr, other.stderr)
    what = f"{other.estimator}, seed {other.seed}"
    return Check(
        name, what, f"off by {off:.4f} BPB, {off / max(sigma, 1e-12):.1f} standard errors", off <= SIGMAS * sigma
    )


def _not_below(name: str, loose: Likelihood, tight: Likelihood) -> Check:
    above, sigma = loose.bpb - tight.bpb, math.hypot(loose.stderr, tight.stderr)
    return Check(name, f"{loose.estimator} against {tight.estimator}", f"{above:+.4f} BPB", above >= -SIGMAS * sigma)


def _in_double(run: LoadedRun) -> LoadedRun:
    return LoadedRun(run.folder, run.config, run.representation, copy.deepcopy(run.model).double(), run.device)


def _asked(run: LoadedRun, length: int) -> LogProbs:
    """Of windows of `length` as they are read."""
    log_probs, reading = objective_log_probs(run.config.objective, run.model), reading_of(run.config)
    return log_probs if reading is None else carried_log_probs(log_probs, reading, length)


def _leakage(run: LoadedRun, x_BT: torch.Tensor) -> Check:
    objective = run.config.objective
    if isinstance(objective, kinds.PatchwiseConfig):
        return _patch_leakage(run, objective, x_BT)
    moved = leak(_asked(run, x_BT.shape[1]), objective, run.model, x_BT)
    found = f"probabilities move by {moved:.1e}"
    if isinstance(objective, kinds.SpanConfig) and objective.spans.content_dependent:
        return Check("leakage", "masks show where the text's spans end; that is paid for", found, None)
    return Check("leakage", "no symbol moves its own prediction", found, moved <= ROUNDING)


def _patch_leakage(
    run: LoadedRun, objective: kinds.PatchArConfig | kinds.PatchMaskedConfig, x_BT: torch.Tensor
) -> Check:
    grouping = grouping_of(run.model)
    assert grouping is not None
    moved, tried = patch_leak(_asked(run, x_BT.shape[1]), objective, run.model, grouping, x_BT)
    what = "a hidden patch moves nothing but its own later bytes"
    if not isinstance(objective, kinds.PatchMaskedConfig):
        what = "a patch moves nothing but its own later bytes, and later patches"
    if not tried:
        return Check("leakage", "every change would move the patches", "not asked", None)
    return Check("leakage", what, f"probabilities move by {moved:.1e} in {tried:,} changes", moved <= ROUNDING)


def _schedules(run: LoadedRun, x_BT: torch.Tensor) -> Iterator[Check]:
    """The bound does not depend on the schedule where the network is not told the time. All masks of short windows."""
    objective = run.config.objective
    if not isinstance(objective, kinds.MaskedConfig) or objective.time_conditioning:
        return
    log_probs, vocab = _asked(run, x_BT.shape[1]), run.model.vocab
    costs, bound = count_costs(log_probs, x_BT, vocab), enumerated_bound(log_probs, x_BT, vocab).numpy()
    schedules = (kinds.LinearSchedule(), kinds.CosineSchedule(), kinds.PolynomialSchedule(power=3))
    off = max(float(abs(schedule_bound(costs, schedule) - bound).max()) for schedule in schedules)
    yield Check("schedule invariance", "linear, cosine, cubic and counts", f"off by {off:.1e} nats", off <= 1e-6)


def _kraft(run: LoadedRun, own: Likelihood) -> Iterator[Check]:
    objective, model = run.config.objective, run.model
    told = run_settings(run)
    digits, length = isinstance(objective, kinds.DigitsConfig), kraft_length(objective, model.vocab)
    log_probs = consistent_log_probs(model) if digits else _asked(run, length)
    sums = kraft_sums(log_probs, objective, model.vocab, codes_VL=model.codes, boundaries=told.boundaries, told=told)
    what = f"all windows of {length} over {model.vocab} symbols"
    if not sums:
        yield Check("Kraft sum", f"{what}: too many masks", "not asked", None)
    for name, total in sums.items():
        claimed = name not in ("joint_ce", "span-unpaid")
        # a patch that ends where none does has a probability, and is no window
        whole = own.kind == "exact" and not isinstance(objective, kinds.PatchwiseConfig)
        fits = total <= 1 + ROUNDING and (not whole or abs(total - 1) <= ROUNDING)
        yield Check("Kraft sum", f"{name}, {what}", f"{total:.9f}", fits if claimed else None)


def _codec(run: LoadedRun, x_WT: np.ndarray) -> Iterator[Check]:
    """Size and round trip of the first windows' symbols; of patches the code length against the estimator as well."""
    config, model = run.config, run.model
    symbols = x_WT.ravel()[:CODEC_SYMBOLS]
    reading, told = reading_of(config), run_settings(run)
    if reading is not None and not reading.permutation.invertible:
        yield Check("codec", "a shuffle that nothing undoes: of what is read, there is no file", "not asked", None)
        return
    route = plan_route(config.objective, config.backbone, model.vocab, config.train.window)
    codec = Codec(config.objective, model, route, reading=reading, counts=told.counts)
    payload, length = codec.encode(symbols)
    same = bool((codec.decode(payload, len(symbols)) == symbols).all())
    bytes_due = length.model_bits / 8
    found = f"{len(payload):,} bytes for a code length of {bytes_due:,.0f}; {'' if same else 'not '}the same again"
    yield Check("codec", f"{len(symbols):,} symbols there and back", found, same and _close(len(payload), bytes_due))
    if isinstance(config.objective, kinds.PatchwiseConfig):
        name = "patch-order" if isinstance(config.objective, kinds.PatchMaskedConfig) else "exact"
        way = build_estimator(config.objective, told, name)
        log_probs, nats = objective_log_probs(config.objective, model), 0.0
        for start, rows, size in groups(len(symbols), route):
            x = torch.from_numpy(symbols[start : start + rows * size].astype(np.int64)).view(rows, size)
            nats += float(way.nats(log_probs, x, start // route.window)[:, 0].sum())
        exact = nats / math.log(2) / 8
        yield Check(
            "code length",
            f"the codec's against {name}",
            f"{bytes_due:,.1f} and {exact:,.1f} bytes",
            _close(bytes_due, exact),
        )


def _close(found: float, due: float) -> bool:
    return abs(found - due) <= 0.005 * due + 64
