"""Runs and studies small enough for a test."""

from typing import Any

from isobyte.config.run import RunConfig
from isobyte.config.study import StudyConfig

TEXT = {"corpus": {"kind": "synthetic", "law": "zipf", "alphabet": 32, "documents": 40, "document_bytes": 2000}}


def run_data(objective: str = "ar", steps: int = 12, **train: Any) -> dict[str, Any]:
    """A run of a few thousand parameters as plain data."""
    return {
        "representation": {"kind": "bytes"},
        "objective": {"kind": objective},
        "backbone": {"kind": "flat", "layers": 2, "width": 16, "heads": 2},
        "data": TEXT,
        "train": {"window": 16, "batch": 4, "steps": steps, "optimizer": {"lr": 0.01}, **train},
        "evaluate": {"max_bytes": 2000, "passes": 4},
    }


def run_config(objective: str = "ar", steps: int = 12, **train: Any) -> RunConfig:
    return RunConfig.model_validate(run_data(objective, steps, **train))


def study_data(budgets: tuple[float, ...] = (4e7, 8e7), seeds: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Two designs, three sizes a budget, seconds in all, as plain data."""
    tuning = {"window": 16, "batch": 4, "lr": 0.01, "width": 16, "budget": 4e7}
    objective = {"ar": {"kind": "ar"}, "masked": {"kind": "masked"}}
    return {
        "name": "tiny",
        "budgets": list(budgets),
        "seeds": list(seeds),
        "designs": [
            {"name": f"byte-{name}", "representation": {"kind": "bytes"}, "objective": each, "tuning": dict(tuning)}
            for name, each in objective.items()
        ],
        "grid": {"sizes": ["w16", "w24", "w32", "w48"], "per_budget": 3, "extend": 1},
        "data": TEXT,
        "evaluate": {"max_bytes": 2000, "passes": 4},
        "fit": {"bootstrap": 20},
    }


def study_config(budgets: tuple[float, ...] = (4e7, 8e7), seeds: tuple[int, ...] = (0,)) -> StudyConfig:
    return StudyConfig.model_validate(study_data(budgets, seeds))
