"""Which test files are slow: prints `tests/slow.txt` anew, from reports of `make test-all PYTEST_ARGS=--junitxml=report.xml`.

    python tests/slow.py report.xml [another.xml ...] >tests/new.txt

A file is slow whose tests take `SECONDS` or more each in one of the reports, their set-up included; folders that are slow as a
whole stay so. Outside them, a quarter of the tests takes two thirds of the time.
"""

import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

SECONDS = 0.9
TESTS = Path(__file__).parent


def main() -> None:
    listed = (TESTS / "slow.txt").read_text(encoding="utf-8").split()
    folders = [name for name in listed if not name.endswith(".py")]
    files = {name for report in sys.argv[1:] for name in slow_files(report)}
    single = {name for name in files if not name.startswith(tuple(folders))}
    sys.stdout.write("\n".join(sorted({*folders, *single})) + "\n")


def slow_files(report: str) -> set[str]:
    """By the tests that passed: one that failed may have waited for what never came."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for case in ElementTree.parse(report).iter("testcase"):
        if len(case):
            continue
        parts = case.attrib["classname"].split(".")[1:]
        file = "/".join(parts[: next(n for n, part in enumerate(parts, 1) if part.startswith("test_"))])
        seconds[file + ".py"].append(float(case.attrib["time"]))
    return {name for name, times in seconds.items() if sum(times) / len(times) >= SECONDS}


if __name__ == "__main__":
    main()
