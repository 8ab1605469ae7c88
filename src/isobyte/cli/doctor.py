"""`isobyte doctor`"""

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from rich.table import Table

from isobyte.cli.output import emit, tables

EXTRAS = {"datasets": "hub corpora", "transformers": "`bench train` and parity tests", "pytest": "the tests"}


def doctor(*, json: bool = False) -> int:
    """What this machine offers and what is missing.

    Args:
        json: one JSON object, last on standard output
    """
    facts = _facts()
    table = Table(title="isobyte doctor", show_header=False)
    for name, value in facts.items():
        table.add_row(name, str(value))
    tables(json).print(table)
    emit(facts, as_json=json)
    return 0


def _facts() -> dict[str, object]:
    import torch

    import isobyte
    from isobyte.study.pipeline import expected_rate

    missing = [f"{name} ({use})" for name, use in EXTRAS.items() if importlib.util.find_spec(name) is None]
    return {
        "isobyte": isobyte.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "matrix product GFLOP/s (fp32, numpy)": round(expected_rate(share=1.0) / 1e9, 1),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "training precision": "bf16 autocast" if torch.cuda.is_available() else "fp32",
        "free disk GiB": round(shutil.disk_usage(Path.cwd()).free / 2**30, 1),
        "optional packages missing": missing,
    }
