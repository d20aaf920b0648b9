"""The documents keep up with the program, and name nothing of the machine they were written on."""

import re
import subprocess
from pathlib import Path

import pytest

from autointerp.cli import audit
from autointerp.cli.main import COMMANDS, build_parser
from autointerp.explain.registry import EXPLAINERS
from autointerp.score.registry import SCORERS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
LEAKS = re.compile(
    r"/(root|home/[a-z]+|Users/[a-zA-Z]+|work/(main|shared)|opt/pypi\w*)/|pypi\.[a-z]+\.internal"
)


def tracked() -> list[Path]:
    """Every text file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in {".png", ".safetensors"}]


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.NAME)
def test_every_command_is_in_the_readme(module: object):
    assert f"autointerp {getattr(module, 'NAME')}" in README  # noqa: B009


def test_every_option_in_the_readme_exists(capsys: pytest.CaptureFixture[str]):
    actions = ([audit.NAME, action.NAME] for action in audit.ACTIONS)
    for argv in ([], *([module.NAME] for module in COMMANDS), *actions):
        with pytest.raises(SystemExit):
            build_parser().parse_args([*argv, "--help"])
    known = capsys.readouterr().out
    used = {
        option
        for line in re.findall(r"autointerp [a-z]+.*", README)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)
    }
    assert {option for option in used if option not in known} == set()


@pytest.mark.parametrize("page", sorted(path.stem for path in (ROOT / "pages").glob("*.py")))
def test_every_page_is_in_the_readme(page: str):
    assert f"**{page.capitalize()}**" in README


@pytest.mark.parametrize("target", ["setup", "demo", "test", "check", "bench"])
def test_every_make_target_is_in_the_readme(target: str):
    assert f"make {target}" in README
    assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md"])
def test_links_lead_somewhere(document: str):
    path = ROOT / document
    links = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", path.read_text(encoding="utf-8"))
    local = [target for pair in links for target in pair if target and "://" not in target]
    assert local
    assert [target for target in local if not (path.parent / target).exists()] == []


def test_no_file_names_the_machine_it_was_written_on():
    found = {
        str(path.relative_to(ROOT)): match[0]
        for path in tracked()
        if path != Path(__file__)
        and (match := LEAKS.search(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert found == {}


def test_every_dependency_is_pinned():
    """`make setup` must install the same tree everywhere: a bare name in pyproject.toml would float."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.split("==")[0].lower().replace("_", "-") for line in lines if not line.startswith("#")}
    names = {re.split(r"[\[><=~ ]", line)[0].lower() for line in wanted}
    assert names - pins == {project["name"]}  # with its own extras, which are among those wanted
    assert all(re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line) for line in lines)


def test_the_readme_lists_every_explainer_and_scorer():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command, registry in (("explain", EXPLAINERS), ("score", SCORERS)):
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| `autointerp {command} ")]
        assert re.findall(r"`(\w+)`", row.rsplit(" | ", 1)[1]) == list(registry)
