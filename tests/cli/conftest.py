"""What tests of commands share."""

import sys
from collections.abc import Callable

import pytest

from isobyte.cli import main as cli

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def isobyte(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the program in this process: its exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["isobyte", *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    return run
