"""Commands are run as in the tests of the command line."""

from tests.cli.conftest import run_error, run_json, run_text

__all__ = ["run_error", "run_json", "run_text"]
