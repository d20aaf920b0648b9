"""Which test files are slow: prints `tests/slow.txt` anew, from a report of `make test-all PYTEST_ARGS=--junitxml=report.xml`.

    python tests/slow.py report.xml >tests/new.txt

A file is slow whose tests take `SECONDS` or more each, their set-up included; folders that are slow as a whole stay so. Outside
them, a fifth of the tests takes half of the time.
"""

import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

SECONDS = 0.9
TESTS = Path(__file__).parent


def main() -> None:
    seconds: dict[str, list[float]] = defaultdict(list)
    for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
        parts = case.attrib["classname"].split(".")[1:]
        file = "/".join(parts[: next(n for n, part in enumerate(parts, 1) if part.startswith("test_"))])
        seconds[file + ".py"].append(float(case.attrib["time"]))
    listed = (TESTS / "slow.txt").read_text(encoding="utf-8").split()
    folders = [name for name in listed if not name.endswith(".py")]
    files = {name for name, times in seconds.items() if sum(times) / len(times) >= SECONDS}
    single = {name for name in files if not name.startswith(tuple(folders))}
    sys.stdout.write("\n".join(sorted({*folders, *single})) + "\n")


if __name__ == "__main__":
    main()
