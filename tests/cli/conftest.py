"""Running a command in this process and reading what it wrote."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from autointerp.cli.main import main

RunJson = Callable[..., Any]


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@pytest.fixture
def run_json(capfd: pytest.CaptureFixture[str]) -> RunJson:
    """`run_json("info", path)`: the one document on standard output, read strictly."""

    def run(*argv: object) -> Any:
        capfd.readouterr()
        assert main([*map(str, argv), "--json"]) == 0
        return json.loads(capfd.readouterr().out, parse_constant=no_constant)

    return run


RunText = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_text(capfd: pytest.CaptureFixture[str]) -> RunText:
    """`run_text("info", path)`: exit code, standard output, standard error."""

    def run(*argv: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([*map(str, argv)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


RunError = Callable[..., str]


@pytest.fixture
def run_error(run_text: RunText) -> RunError:
    """`run_error("info", path)`: the message of a command that ends with 2, the user's mistake."""

    def run(*argv: object) -> str:
        code, out, err = run_text(*argv)
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        return err

    return run
