"""Scaling laws from finished runs: fits, intervals, compute-optimal envelopes and the efficiency gap."""

from isobyte.study.fit.approach2 import Approach2Fit, Optimum, fit_approach2
from isobyte.study.fit.approach3 import Approach3Fit, fit_approach3
from isobyte.study.fit.bootstrap import Resamples, interval, resample
from isobyte.study.fit.envelope import (
    Envelopes,
    InterpolatedEnvelope,
    PowerEnvelope,
    fit_offset,
    fit_power,
    interpolate,
)
from isobyte.study.fit.gap import Gap, Parity, common_losses, gap_at_computes, gap_at_losses, parity
from isobyte.study.fit.law import CostMap, Law, fit_cost_map
from isobyte.study.fit.runs import Runs, budgets_of
from isobyte.study.fit.summary import FitSummary, fit_runs, strict
from isobyte.study.fit.table import Table, read_runs
from isobyte.study.fit.varpro import VarproFit, fit_varpro

__all__ = [
    "Approach2Fit",
    "Approach3Fit",
    "CostMap",
    "Envelopes",
    "FitSummary",
    "Gap",
    "InterpolatedEnvelope",
    "Law",
    "Optimum",
    "Parity",
    "PowerEnvelope",
    "Resamples",
    "Runs",
    "Table",
    "VarproFit",
    "budgets_of",
    "common_losses",
    "fit_approach2",
    "fit_approach3",
    "fit_cost_map",
    "fit_offset",
    "fit_power",
    "fit_runs",
    "fit_varpro",
    "gap_at_computes",
    "gap_at_losses",
    "interpolate",
    "interval",
    "parity",
    "read_runs",
    "resample",
    "strict",
]
