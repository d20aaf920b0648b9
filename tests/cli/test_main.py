"""Exit codes and start-up of the program as a whole."""

import errno
import resource
import subprocess
import sys

import pytest

from autointerp.cli import info
from autointerp.cli.main import COMMANDS, main
from autointerp.errors import UserError

HEAVY = ("torch", "transformers", "streamlit", "pandas", "duckdb", "pyarrow", "numpy", "plotly", "rich")
HEAVY += ("openai", "httpx2", "sklearn", "sentence_transformers")


def raising(error: BaseException):
    def run(_: object) -> None:
        raise error

    return run


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert all(f" {module.NAME} " in text for module in COMMANDS)


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.NAME)
def test_every_command_has_help_and_json(module: object, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        main([getattr(module, "NAME"), "--help"])  # noqa: B009
    assert exit_.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom autointerp.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"sys.exit(','.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_help_is_quick():
    def seconds() -> float:
        """Processor time: what it takes on a machine that does nothing else."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "autointerp", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["info"],
        ["info", "a", "b"],
        ["latent", "s", "c", "1", "--window", "x"],
        ["cache", "s"],
        ["explain", "s"],
        ["explain", "s", "c", "--explainer", "oracle"],
        ["score", "s", "c"],
        ["score", "s", "c", "--scorer", "vibes"],
        ["jobs", "s", "dance"],
    ],
)
def test_wrong_usage_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    captured = capsys.readouterr()
    assert exit_.value.code == 2
    assert captured.out == ""
    assert "usage: autointerp" in captured.err


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_user_error_is_2_with_a_plain_message(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(info, "run", raising(UserError("no such thing")))
    assert main(["info", "s", *flags]) == 2
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "autointerp: no such thing\n")


def test_a_full_disk_is_2(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.setattr(info, "run", raising(OSError(errno.ENOSPC, "No space left on device", "store.json")))
    assert main(["info", "s"]) == 2
    assert "No space left on device: store.json" in capfd.readouterr().err


def test_a_bug_is_1_with_its_traceback(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.setattr(info, "run", raising(ZeroDivisionError("oops")))
    assert main(["info", "s"]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "ZeroDivisionError: oops" in captured.err
    assert "a bug in autointerp" in captured.err


def test_ctrl_c_is_130_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(info, "run", raising(KeyboardInterrupt()))
    assert main(["info", "s"]) == 130
    assert "run the same command again to continue" in capfd.readouterr().err


def test_a_reader_that_leaves_early_is_no_error():
    script = "import sys; from autointerp.cli import info, main; from autointerp.cli.shared import output\n"
    script += "info.run = lambda args: [output.write_result('x' * 1000, 'x' * 1000, as_json=False) for _ in range(1000)]\n"
    script += "sys.exit(main.main(['info', 's']))"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        writer.stdout.read(10)
        writer.stdout.close()
        errors = writer.stderr.read()
    assert (writer.returncode, errors) == (141, b"")
