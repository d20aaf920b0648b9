"""Valid dashboards with hundreds of changes, byte by byte and value by value: each is imported or refused with a clear error,
and nothing is left where it is refused."""

import gzip
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import UserError
from autointerp.store import Store
from tests.formats.neuronpedia_files import (
    RAIN,
    SHORT,
    SOURCE,
    activation,
    circuit_feature,
    dashboard_feature,
    explanation,
    feature,
    write_circuits,
    write_dashboard,
    write_export,
)
from tests.formats.test_selected import run

VALUES: list[Any] = [
    None, True, -1, 0, 0.5, 1e308, -1e308, 10**30, "", "1", "\0", "\ud800", "x" * 1000, [], [[]], [None], {}, {"a": 1},
    "../../up", float("nan"), float("inf"), 2**53, [1] * 2000, "-1", "1e3", "\u0663",
]  # fmt: skip
N = 50
"""Changes of each kind of file, of each kind."""


def neuronpedia(folder: Path) -> Path:
    features, activations = (
        [feature(0), feature(2)],
        [activation(0, SHORT), activation(2, RAIN), activation(2, SHORT)],
    )
    return write_export(
        folder, features, activations, {"explanations": [explanation(0, "cats"), explanation(2, "rain")]}
    )


def saedashboard(folder: Path) -> Path:
    return write_dashboard(folder, [[dashboard_feature(0, (SHORT,))], [dashboard_feature(2, (RAIN, SHORT))]])


def circuit_tracer(folder: Path) -> Path:
    return write_circuits(folder, {(0, 1): circuit_feature((SHORT,)), (1, 0): circuit_feature((RAIN, SHORT))})


MAKERS: dict[str, Callable[[Path], Path]] = {
    "neuronpedia": neuronpedia,
    "saedashboard": saedashboard,
    "circuit-tracer": circuit_tracer,
}


def data_files(source: Path) -> list[Path]:
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and path.name not in ("run_settings.json", "skipped_indexes.json")
    )


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def change_value(path: Path, rng: random.Random) -> None:
    """One value is another, or is gone, or is there twice."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = (
        [json.loads(line) for line in content.splitlines()]
        if ".jsonl" in path.name
        else [json.loads(content)]
    )
    container, key = rng.choice(list(places(lines)))
    match rng.randrange(4):
        case 0:
            del container[key]
        case 1 if isinstance(container, list):
            container.insert(key, container[key])
        case _:
            container[key] = rng.choice(VALUES)
    text = "\n".join(json.dumps(line) for line in lines).encode()
    path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)


def change_bytes(path: Path, rng: random.Random) -> None:
    """Some bytes are others, or are gone, or the file ends early; half of the time those of what was compressed."""
    inner = path.suffix == ".gz" and rng.random() < 0.5
    content = bytearray(gzip.decompress(path.read_bytes()) if inner else path.read_bytes())
    at = rng.randrange(len(content))
    match rng.randrange(3):
        case 0:
            content[at] = rng.randrange(256)
        case 1:
            del content[at : at + rng.randrange(1, 9)]
        case _:
            del content[at:]
    path.write_bytes(gzip.compress(bytes(content), 1) if inner else bytes(content))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("change", [change_value, change_bytes], ids=["values", "bytes"])
def test_changed_files_are_imported_or_refused(
    name: str, change: Callable[[Path, random.Random], None], tmp_path: Path
):
    rng = random.Random(f"{name} {change.__name__}")
    valid = MAKERS[name](tmp_path / "valid")
    taken = refused = 0
    for number in range(N):
        source, store = tmp_path / "source", tmp_path / "store"
        shutil.copytree(valid, source)
        change(rng.choice(data_files(source)), rng)
        try:
            run(name, source, store=store)
        except UserError:
            refused += 1
            assert not store.exists(), number
        else:
            taken += 1
            opened = Store.open(store)
            assert opened.problems() == [], number
            for info in opened.coders():
                table = opened.coder(info.coder).table()
                for latent in table.live.tolist():
                    opened.coder(info.coder).all_stats(latent)
                    opened.coder(info.coder).histogram(latent)
            shutil.rmtree(store)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "valid"], number
        shutil.rmtree(source)
    assert refused > N // 10
    assert taken > N // 20


def test_the_valid_files_are_taken(tmp_path: Path):
    for name, make in MAKERS.items():
        run(name, make(tmp_path / f"{name}-files"), store=tmp_path / name)
    assert Store.open(tmp_path / "neuronpedia").coder(SOURCE).table().live.tolist() == [0, 2]
