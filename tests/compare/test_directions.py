"""Coders of real files matched by their directions, and how much they share, against plain loops."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from autointerp.cli.main import main
from autointerp.compare import directions, results
from autointerp.compare.directions import Directions, Part, Side
from autointerp.compare.overlap import (
    DEFINITIONS,
    alignment,
    by_density,
    counterpart,
    found_in_one_only,
    overlap,
    shared_by,
)
from autointerp.compare.sharing import match, overlaps, sharing
from autointerp.errors import CoderLoadError, UnknownName, UserError
from autointerp.pipeline.resources import Resources
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.compare.conftest import ORDER


def found(resources: Resources, first: str, second: str) -> Directions:
    table = results.obtain(resources, "directions", directions.in_order(first, second))
    return directions.read(table, (first, second))


def test_a_row_permuted_copy_is_the_same_coder(resources: Resources):
    pair = found(resources, "sae", "permuted")
    for part in pair.parts.values():
        np.testing.assert_array_equal(part.sides[1].partner, ORDER)
        np.testing.assert_array_equal(ORDER[part.sides[0].partner], np.arange(64))
        np.testing.assert_allclose(part.sides[0].cosine, 1.0, atol=1e-5)
    live = resources.store.coder("sae").table().live
    for definition in DEFINITIONS:
        share = overlap(pair, live, definition=definition, threshold=0.99)
        assert share.fraction == 1.0
        assert share.n_live == len(live)
        assert share.n_agreeing == len(live)


def test_an_independent_coder_is_at_the_floor(resources: Resources):
    pair = found(resources, "sae", "other")
    part = pair.parts["decoder"]
    assert part.sides[0].nearest_cosine.mean() == pytest.approx(part.sides[0].floor, abs=0.05)
    has = part.sides[0].partner >= 0
    assert has.sum() == 48  # of 64: each of the smaller side has one
    np.testing.assert_array_equal(part.sides[1].partner[part.sides[0].partner[has]], np.flatnonzero(has))


def test_cosines_are_those_of_the_files(resources: Resources, built: Path):
    pair = found(resources, "sae", "transcoder")
    a, b = (
        load_file(built.parent / name / "layers.1.mlp" / "sae.safetensors")["W_dec"] for name in pair.coders
    )
    truth = (a / np.linalg.norm(a, axis=1)[:, None]) @ (b / np.linalg.norm(b, axis=1)[:, None]).T
    part = pair.parts["decoder"]
    np.testing.assert_allclose(part.sides[0].nearest_cosine, truth.max(1), atol=1e-5)
    np.testing.assert_allclose(part.sides[1].nearest_cosine, truth.max(0), atol=1e-5)
    np.testing.assert_allclose(part.sides[0].cosine, truth[np.arange(64), part.sides[0].partner], atol=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "parts", "said"),
    [
        ("sae", "transcoder", {"decoder"}, "they read different spaces"),
        ("transcoder", "skip", {"encoder", "decoder"}, None),
        ("sae", "residual", {"encoder", "decoder"}, None),  # both in the residual stream
        ("neurons", "sae", {"decoder"}, "neurons layers.1.mlp has no encoder directions"),
    ],
)
def test_only_directions_of_one_space_are_compared(
    resources: Resources, first: str, second: str, parts: set[str], said: str | None
):
    pair = found(resources, first, second)
    assert set(pair.parts) == parts
    assert set(pair.absent) == {"encoder", "decoder"} - parts
    assert said is None or said in " ".join(pair.absent.values())


def test_the_other_way_round_is_the_same_matching(resources: Resources):
    there, back = found(resources, "sae", "other"), found(resources, "other", "sae")
    for name, part in there.parts.items():
        for side in (0, 1):
            seen = vars(part.sides[side]), vars(back.parts[name].sides[1 - side])
            for key, values in seen[0].items():
                np.testing.assert_array_equal(values, seen[1][key])
    assert there.parts["encoder"].sides[0].floor != there.parts["encoder"].sides[1].floor


def test_results_are_kept_and_computed_again_for_another_file(built: Path, monkeypatch: pytest.MonkeyPatch):
    store, annotations = Store.open(built), Annotations(built)
    results.obtain(Resources(store, annotations), "directions", ["sae", "skip"])
    monkeypatch.setattr(directions, "compute", lambda *_: pytest.fail("computed again"))
    again = Resources(Store.open(built), annotations)
    assert results.known(again, "directions", ["sae", "skip"]) is not None
    assert results.known(again, "directions", ["sae", "skip"], {"exact_up_to": 0}) is None
    with pytest.raises(UnknownName):
        results.known(again, "directions", ["sae", "nothing"])
    annotations.close()


def test_what_cannot_be_matched_says_what_to_do(resources: Resources, built: Path, tmp_path: Path):
    with pytest.raises(UserError, match="at least two"):
        match(resources, ["sae", "sae"])
    weights = built.parent / "other"
    weights.rename(tmp_path / "gone")
    try:
        with pytest.raises(CoderLoadError, match=r"not at .*other.*Put them back"):
            results.obtain(resources, "directions", ["transcoder", "other"])
    finally:
        (tmp_path / "gone").rename(weights)


def made(cosines: list[np.ndarray], partners: list[np.ndarray]) -> Directions:
    n = len(cosines[0])
    parts = {}
    for name, cosine, partner in zip(("encoder", "decoder"), cosines, partners, strict=False):
        cosine = np.where(partner < 0, np.nan, cosine).astype(np.float32)
        nearest = np.fmax(cosine, 0.2).astype(np.float32)
        empty = np.zeros(0, np.float32)
        parts[name] = Part(
            "exact", (Side(partner, cosine, np.abs(partner), nearest, 0.1), Side(empty, empty, empty, empty, 0.1))  # type: ignore[arg-type]
        )  # fmt: skip
    assert n
    return Directions(("a", "b"), parts, {})


@given(n=st.integers(1, 20), n_parts=st.integers(1, 2), seed=st.integers(0, 50), threshold=st.floats(-1, 1))
def test_the_definitions_against_plain_loops(n: int, n_parts: int, seed: int, threshold: float):
    rng = np.random.default_rng(seed)
    pair = made(
        [rng.uniform(-1, 1, n) for _ in range(n_parts)],
        [np.where(rng.random(n) < 0.2, -1, rng.integers(0, 3, n)) for _ in range(n_parts)],
    )
    sides = [part.sides[0] for part in pair.parts.values()]
    for i in range(n):
        assigned = all(side.partner[i] >= 0 and float(side.cosine[i]) > threshold for side in sides)
        same = len({int(side.partner[i]) for side in sides}) == 1
        near = all(float(side.nearest_cosine[i]) > threshold for side in sides)
        truth = {"assigned": assigned, "agreeing": assigned and same, "nearest": near}
        for definition in DEFINITIONS:
            assert (alignment(pair, definition)[i] > threshold) == truth[definition]
    share = overlap(pair, np.arange(n), threshold=threshold)
    assert share.n_shared == share.n_shared_of_all == (alignment(pair) > threshold).sum()
    partner, cosine = counterpart(pair)
    np.testing.assert_array_equal(partner, sides[-1].partner)
    np.testing.assert_array_equal(cosine, sides[-1].cosine)


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=12))
def test_found_in_one_only_is_the_mean_over_all_choices(table: list[list[bool]]):
    has = np.array(table)
    counts = shared_by([np.where(column, 0.9, 0.1) for column in has.T], 0.7)
    np.testing.assert_array_equal(counts, has.sum(1))
    for s, share in enumerate(found_in_one_only(counts, 3)):
        truth = np.mean([(~has[:, list(chosen)].any(1)).mean() for chosen in combinations(range(3), s)])
        assert share == pytest.approx(truth)


def test_shares_by_density_count_every_latent_once():
    density = np.array([0.001, 0.0011, 0.01, 0.5])
    bins = by_density(density, np.array([True, False, True, True]))
    assert [(each.n, each.n_shared) for each in bins] == [(2, 1), (1, 1), (1, 1)]
    for each in bins:
        assert each.low < each.high
        assert 0 <= each.ci_low <= each.n_shared / each.n <= each.ci_high <= 1


def test_match_writes_what_the_library_gives(
    resources: Resources, built: Path, capsys: pytest.CaptureFixture[str]
):
    names = ["sae", "permuted", "other", "transcoder"]
    assert main(["match", str(built), *names, "--threshold", "0.6", "--latents", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    pairs = match(resources, names)
    truth = overlaps(resources.store, pairs, names, threshold=0.6)
    assert len(document["pairs"]) == len(truth) == 12
    for row in document["pairs"]:
        each = truth[tuple(row["coders"])]
        assert (row["n_shared"], row["n_live"], row["fraction"]) == (
            each.n_shared,
            each.n_live,
            each.fraction,
        )
        assert sum(latent["alignment"] > 0.6 for latent in row["latents"]) == each.n_shared
    among = sharing(resources.store, pairs, "sae", names, threshold=0.6)
    assert document["sharing"][0]["n_in"] == list(among.n_in)
    assert sum(among.n_in) == among.n_live
    assert main(["match", str(built), "sae", "permuted"]) == 0
    text = capsys.readouterr().out
    assert f"{len(resources.store.coder('sae').table().live)} of" in text
    assert "100.0%" in text


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sae"], "at least two"),
        (["sae", "saee"], "sae"),
        (["sae", "other", "--threshold", "1.5"], "from -1 to 1"),
        (["sae", "other", "--threshold", "nan"], "give a number"),
    ],
)
def test_match_refuses_what_makes_no_sense(
    built: Path, argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["match", str(built), *argv]) == 2
    assert said in capsys.readouterr().err
