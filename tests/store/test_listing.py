"""The list with explanations and scores against a plain pandas implementation, on random data with gaps and ties."""

import gc
import io
import json
import math
import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.records import Explanation, Score, config_hash
from autointerp.store import (
    ContextHit,
    LatentQuery,
    ScoreBound,
    ScoreKind,
    Spots,
    Store,
    annotated_store,
    hit_tokens,
    list_latents,
    list_table,
    match_examples,
)
from autointerp.store.annotated import AnnotatedStore
from autointerp.store.annotations import Annotations
from autointerp.store.coders.firing import random_spots
from autointerp.store.list_table import RECORD
from autointerp.store.table_files import to_file
from tests.conftest import CoderSpec, _factory
from tests.explained import scores_of

N = {"a": 24, "b": 17}
PLAIN = config_hash({})[:12]
KINDS = [
    ScoreKind("detection", "offline", "held-out", "random", None, PLAIN),
    ScoreKind("detection", "llm", "held-out", "random", "m/one", PLAIN),
    ScoreKind("fuzzing", "offline", "delphi", "neighbours", None, PLAIN),
]
EXPLAINERS = ["pattern", "default", "person"]


@pytest.fixture(scope="module", params=range(3))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    """A store of two coders, its annotations, and the same as one pandas table."""
    rng = np.random.default_rng(request.param)
    tokens = rng.integers(1, 9, size=(12, 20))

    def firings(n: int) -> dict:
        dead = set(rng.choice(n, 3, replace=False).tolist())
        # Few distinct counts and values: many ties.
        return {
            latent: [
                (int(t), float(rng.integers(1, 4)))
                for t in rng.choice(240, int(rng.integers(1, 6)), replace=False)
            ]
            for latent in range(n)
            if latent not in dead
        }

    coders = {name: CoderSpec(firings(n), n_latents=n) for name, n in N.items()}
    store = _factory(tmp_path_factory.mktemp("listing"))(tokens, coders)
    with Annotations(store.path) as annotations:
        annotations.add(*random_records(rng))
        for coder, n in N.items():
            for latent in rng.choice(n, 6, replace=False).tolist():
                versions = annotations.explanations(coder, latent, failed=False)
                if versions:
                    annotations.pin(versions[int(rng.integers(len(versions)))].id, author="ada")
        yield store, annotations, as_frame(store, annotations)


def random_records(rng: np.random.Generator) -> Iterator[Explanation | Score]:
    for coder, n in N.items():
        for latent in range(n):
            for _ in range(int(rng.integers(0, 4))):
                failed = rng.random() < 0.3
                explanation = Explanation(
                    coder=coder, latent=latent, text="" if failed else f"{coder} {latent}",
                    explainer=str(rng.choice(EXPLAINERS)), status="failed" if failed else "ok",
                    error="no answer" if failed else None,
                )  # fmt: skip
                yield explanation
                for kind in KINDS:
                    for _ in range(0 if failed else int(rng.integers(0, 3))):
                        yield random_score(explanation, kind, rng)


def random_score(explanation: Explanation, kind: ScoreKind, rng: np.random.Generator) -> Score:
    def maybe(value: float) -> float | None:
        return None if rng.random() < 0.25 else value

    value = maybe(float(rng.integers(0, 5)) / 4)
    return Score(
        explanation_id=explanation.id, scorer=kind.scorer, judge=kind.judge, model=kind.model, protocol=kind.protocol,  # pyright: ignore[reportArgumentType]
       
        negatives=kind.negatives, value=value, n_pos=5, n_neg=4, floor=maybe(0.5),
        ci_low=None if value is None else maybe(value - 0.25), ci_high=None if value is None else value + 0.25,
    )  # fmt: skip


def as_frame(store: Store, annotations: Annotations) -> pd.DataFrame:
    """One row per latent, read latent by latent."""
    rows = []
    for place, (coder, n) in enumerate(N.items()):
        for latent in range(n):
            stats = store.coder(coder).stats(latent)
            versions = annotations.explanations(coder, latent)
            shown = annotations.shown(coder, latent)
            row = {
                "place": place, "coder": coder, "latent": latent, "density": stats.density, "dead": stats.is_dead,
                "max_activation": stats.max_activation, "explained": shown is not None,
                "failed": shown is None and any(v.status == "failed" for v in versions),
                "explainer": shown.explainer if shown else "", "person": bool(shown and shown.explainer == "person"),
                "pinned": annotations.pinned(coder, latent) is not None, "text": shown.text if shown else "",
            }  # fmt: skip
            scores = scores_of(annotations, shown.id) if shown else []
            for kind in KINDS:
                of_kind = [s for s in scores if kind_of(s) == kind and s.status == "ok"]
                newest = of_kind[0] if of_kind else None  # newest first
                row |= {
                    f"score {kind.key}": np.nan,
                    f"ci_low {kind.key}": np.nan,
                    f"above_floor {kind.key}": np.nan,
                }
                if newest is not None and newest.value is not None:
                    row[f"score {kind.key}"] = newest.value
                    if newest.ci_low is not None:
                        row[f"ci_low {kind.key}"] = newest.ci_low
                    if newest.floor is not None:
                        row[f"above_floor {kind.key}"] = newest.value - newest.floor
            rows.append(row)
    return pd.DataFrame(rows)


def kind_of(score: Score) -> ScoreKind:
    return ScoreKind(
        score.scorer, score.judge, score.protocol, score.negatives, score.model, score.config_hash[:12]
    )


BOUND = st.one_of(st.none(), st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0]))
QUERIES = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "sort": st.sampled_from(["score", "ci_low", "above_floor", "density", "max_activation", "latent"]),
        "descending": st.booleans(),
        "bounds": st.fixed_dictionaries(
            {
                "score": st.tuples(BOUND, BOUND),
                "ci_low": st.tuples(BOUND, st.none()),
                "above_floor": st.tuples(BOUND, st.none()),
                "max_activation": st.tuples(st.sampled_from([None, None, 2.0]), st.none()),
            }
        ),
        "state": st.sampled_from([None, None, "explained", "unexplained", "failed", "unscored"]),
        "explainer": st.sampled_from([None, None, *EXPLAINERS, "'; DROP"]),
        "human": st.sampled_from([None, None, "pinned", "person"]),
        "dead": st.sampled_from(["hide", "show"]),
        "also": st.lists(st.builds(ScoreBound, st.sampled_from(KINDS), BOUND, BOUND), max_size=2).map(tuple),
    }
)


def plainly(frame: pd.DataFrame, query: dict) -> pd.DataFrame:
    """The whole list, the simple way."""
    key = query["kind"].key
    score = frame[f"score {key}"]
    keep = pd.Series(True, index=frame.index)
    for name, (least, largest) in query["bounds"].items():
        values = frame[name if name in frame else f"{name} {key}"]
        if least is not None:
            keep &= values >= least
        if largest is not None:
            keep &= values <= largest
    for bound in query["also"]:
        values = frame[f"score {bound.kind.key}"]
        keep &= values.notna()
        keep &= values >= (-np.inf if bound.least is None else bound.least)
        keep &= values <= (np.inf if bound.most is None else bound.most)
    match query["state"]:
        case "explained":
            keep &= frame["explained"]
        case "unexplained":
            keep &= ~frame["explained"]
        case "failed":
            keep &= frame["failed"]
        case "unscored":
            keep &= frame["explained"] & score.isna()
    if query["explainer"] is not None:
        keep &= frame["explainer"] == query["explainer"]
    if query["human"] is not None:
        keep &= frame[query["human"]]
    if query["dead"] == "hide":
        keep &= ~frame["dead"]
    sort = query["sort"] if query["sort"] in frame else f"{query['sort']} {key}"
    by = [sort, *(name for name in ("place", "latent") if name != sort)]
    ascending = [not query["descending"], *[True] * (len(by) - 1)]
    return frame.loc[keep].sort_values(by=by, ascending=ascending, na_position="last")


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(query=QUERIES, size=st.integers(1, 20))
def test_pages_are_the_plain_list_cut_up(made: tuple, query: dict, size: int):
    store, annotations, frame = made
    expected = plainly(frame, query)
    found = []
    for offset in range(0, len(expected) + 1, size):
        page = list_latents(
            store, query=LatentQuery(**query, limit=size, offset=offset), annotations=annotations
        )
        assert page.total == len(expected)
        found += page.rows
    assert [(row.coder, row.stats.latent) for row in found] == list(
        zip(expected["coder"], expected["latent"], strict=True)
    )
    key = query["kind"].key
    for row, (_, plain) in zip(found, expected.iterrows(), strict=True):
        assert (row.explanation.text if row.explanation else "") == plain["text"]
        assert bool(row.error) == plain["failed"]
        value = row.score.value if row.score else None
        assert value == plain[f"score {key}"] or (value is None and np.isnan(plain[f"score {key}"]))
        assert row.explanation is None or row.explanation.pinned == plain["pinned"]


def test_kinds_and_explainers_are_counted(made: tuple):
    store, annotations, frame = made
    kinds = annotated_store(annotations).kinds(N, order=lambda kind: kind.key)
    assert list(kinds) == sorted(KINDS, key=lambda kind: kind.key)
    counted = annotated_store(annotations).explainers(N)
    assert counted == frame[frame["explained"]]["explainer"].value_counts().to_dict()
    assert annotated_store(annotations).coder("a").any_score.num_rows > 0
    page = list_latents(store, query=LatentQuery(state="unscored", dead="show"), annotations=annotations)
    scores = [name for name in frame if name.startswith("score ")]
    assert page.total == int((frame["explained"] & frame[scores].isna().all(axis=1)).sum())


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=QUERIES)
def test_the_whole_list_goes_into_a_table_as_it_is(made: tuple, query: dict):
    store, annotations, frame = made
    expected = plainly(frame, query)
    table = list_table(store, list(N), LatentQuery(**query, limit=3, offset=2), annotations=annotations)
    assert list(zip(table["coder"].to_pylist(), table["latent"].to_pylist(), strict=True)) == list(
        zip(expected["coder"], expected["latent"], strict=True)
    )
    assert [text or "" for text in table["explanation"].to_pylist()] == expected["text"].tolist()
    score = expected[f"score {query['kind'].key}"]
    assert table["score"].to_pylist() == [None if np.isnan(value) else value for value in score]
    assert table["density"].to_pylist() == expected["density"].tolist()


def test_a_table_keeps_its_numbers_and_its_origin_in_a_file(made: tuple):
    store, annotations, _ = made
    about = {"address": {"min_density": "0.5"}}
    query = LatentQuery(kind=KINDS[0], sort="score")
    table = list_table(store, list(N), query, annotations=annotations, about=about)
    parquet = pq.read_table(io.BytesIO(to_file(table, "parquet")))
    assert parquet.to_pylist() == table.to_pylist()
    record = json.loads((parquet.schema.metadata or {})[RECORD])
    assert (record["store"], record["coders"], record["n_rows"]) == (store.path.name, list(N), table.num_rows)
    assert (record["score"]["scorer"], record["address"]) == ("detection", {"min_density": "0.5"})
    csv = pd.read_csv(io.BytesIO(to_file(table, "csv")))
    assert csv["density"].tolist() == table["density"].to_pylist()
    assert csv.columns.tolist() == table.column_names
    bare = list_table(store, ["a"], LatentQuery())
    assert "explanation" not in bare.column_names
    assert list_table(store, [], LatentQuery()).num_rows == 0


def test_ranks_of_ones_own(made: tuple):
    store, annotations, frame = made
    live = frame[~frame["dead"] & (frame["coder"] == "b")]["latent"].tolist()
    ranks = {"b": pa.table({"latent": pa.array(live[:3], pa.uint32()), "rank": [0.1, 0.9, 0.5]})}
    for descending, first in ((True, [1, 2, 0]), (False, [0, 2, 1])):
        query = LatentQuery(sort="rank", ranks=ranks, descending=descending, limit=3)
        rows = list_latents(store, query=query, annotations=annotations).rows
        assert [(row.coder, row.stats.latent) for row in rows] == [("b", live[i]) for i in first]
    assert list_latents(store, query=query).total == (~frame["dead"]).sum()


@pytest.mark.parametrize(
    ("name", "least", "most"), [("above_floor", 0.1, None), ("score", None, 0.7), ("score", 0.7, None)]
)
def test_a_score_on_a_bound_is_within_it(
    tiny_store: Store, name: str, least: float | None, most: float | None
):
    """Whatever the last bit of a number that is 0.7, or 0.1 above its floor, as it reads."""
    values = [0.7, math.nextafter(0.7, 0), math.nextafter(0.7, 1)]
    explanations = [Explanation(coder="sae", latent=at, text="x", explainer="pattern") for at in range(3)]
    scores = [
        Score(explanation_id=each.id, scorer="detection", judge="offline", value=value, floor=value - 0.1)
        for each, value in zip(explanations, values, strict=True)
    ]
    with Annotations(tiny_store.path) as annotations:
        annotations.add(*explanations, *scores)
        query = LatentQuery(kind=kind_of(scores[0]), dead="show", limit=100)
        bounded = replace(query, bounds={name: (least, most)})
        assert list_latents(tiny_store, ["sae"], bounded, annotations=annotations).total == 3
        if name == "score":
            also = (ScoreBound(kind_of(scores[0]), least, most),)
            also_bounded = replace(query, also=also)
            assert list_latents(tiny_store, ["sae"], also_bounded, annotations=annotations).total == 3


def test_explanations_made_one_way(made: tuple):
    store, annotations, frame = made
    for explainer in EXPLAINERS:
        page = list_latents(store, query=LatentQuery(made_by=explainer, dead="show"), annotations=annotations)
        assert page.total == int((frame["explainer"] == explainer).sum())


def test_without_annotations_nothing_is_explained(made: tuple):
    store, _, frame = made
    assert list_latents(store, query=LatentQuery(state="explained")).total == 0
    page = list_latents(store, query=LatentQuery(kind=KINDS[0], sort="ci_low", limit=99))
    assert page.total == (~frame["dead"]).sum()
    assert all(row.explanation is None and row.score is None for row in page.rows)


def test_matches_narrow_and_rank(made: tuple):
    store, annotations, frame = made
    live = frame[~frame["dead"] & (frame["coder"] == "b")]["latent"].tolist()
    table = pa.table({"latent": pa.array(live[:4], pa.uint32()), "relevance": [0.5, 0.9, 0.5, 0.1]})
    query = LatentQuery(sort="relevance", matches={"b": table}, kind=KINDS[0])
    page = list_latents(store, query=query, annotations=annotations)
    assert [(row.coder, row.stats.latent) for row in page.rows] == [("b", live[i]) for i in (1, 0, 2, 3)]
    assert [row.relevance for row in page.rows] == [0.9, 0.5, 0.5, 0.1]
    assert list_latents(store, ["a"], query, annotations=annotations).total == 0


def shares(store: Store, spots: Spots) -> dict[tuple[str, int], float]:
    """The mean share of the maximum, latent by latent and spot by spot."""
    per_context = -(-20 // spots.width)
    groups = range(len(spots.ids)) if spots.groups is None else spots.groups
    weights = spots.weights or [1.0] * (max(groups) + 1)
    found = {}
    for name, n in N.items():
        coder = store.coder(name)
        for latent in range(n):
            acts, stats = coder.activations(latent), coder.stats(latent)
            unit = acts.token // 20 * per_context + acts.token % 20 // spots.width
            best = [0.0] * (max(groups) + 1)
            for place, group in zip(spots.ids, groups, strict=True):
                best[group] = max(best[group], float(acts.activation[unit == place].max(initial=0)))
            found[name, latent] = float(np.dot(best, weights)) / (stats.max_activation or 1) / sum(weights)
    return found


SPOTS = [
    Spots((0, 3, 11), 20),
    Spots((0, 12, 47), 5, weights=(1.0, 0.5, 0.25)),
    Spots((0, 9, 35), 7),
    Spots.spans([(3, 6), (17, 20), (100, 104), (238, 240)]),
]


@pytest.mark.parametrize("spots", SPOTS)
def test_relevance_is_share_of_maximum_beyond_chance(made: tuple, spots: Spots):
    store = made[0]
    here, there = shares(store, spots), shares(store, random_spots(spots, 12, 20))
    expected = {feature: here[feature] - there[feature] for feature in here if here[feature]}
    query = LatentQuery(sort="relevance", spots=spots, limit=99)
    rows = list_latents(store, query=query).rows
    assert {(row.coder, row.stats.latent): row.relevance for row in rows} == pytest.approx(expected)
    assert [row.relevance for row in rows] == sorted((row.relevance or 0 for row in rows), reverse=True)
    assert list_latents(store, query=query).rows == rows


@pytest.mark.parametrize("spots", SPOTS)
def test_a_row_shows_where_it_is_strongest_among_what_was_found(made: tuple, spots: Spots):
    store = made[0]
    rows = list_latents(store, query=LatentQuery(sort="relevance", spots=spots, limit=99)).rows
    per_context = -(-20 // spots.width)
    for row, (example, at) in zip(rows, match_examples(store, rows, spots, 6), strict=True):
        acts = store.coder(row.coder).activations(row.stats.latent)
        inside = np.isin(acts.token // 20 * per_context + acts.token % 20 // spots.width, spots.ids)
        best = acts.activation[inside].max()
        first = acts.token[inside][acts.activation[inside] == best][0]
        assert example.context * 20 + example.start + at == first
        assert example.activations[at] == best
        assert example.token_ids.tolist() == store.tokens[example.context, example.start :][:6].tolist()
        there = dict(zip(acts.token.tolist(), acts.activation.tolist(), strict=True))
        begin = example.context * 20 + example.start
        assert example.activations.tolist() == [there.get(begin + i, 0.0) for i in range(6)]


def test_a_match_becomes_its_tokens():
    pieces = ["ab", "", "c", "de", "f"]
    for start, end, after, expected in (
        (0, 1, 0, (0, 1)), (1, 3, 0, (0, 3)), (2, 3, 0, (2, 3)), (2, 4, 1, (2, 5)), (5, 6, 9, (4, 5)), (3, 3, 0, (3, 4)),
    ):  # fmt: skip
        assert hit_tokens(pieces, ContextHit(0, "abcdef", start, end), after=after) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "ci_low"},
        {"bounds": {"score": (0.5, None)}},
        {"bounds": {"positional_mi": (0, None)}},
        {"dead": "maybe"},
        {"sort": "relevance"},
        {"state": "sad"},
        {"human": "1=1"},
        {"sort": "nothing"},
    ],
)
def test_queries_about_nothing_are_refused(made: tuple, query: dict):
    with pytest.raises(UserError):
        list_latents(made[0], query=LatentQuery(**query))


def test_a_change_is_seen_at_once_in_a_small_store(tiny_store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("autointerp.store.annotated.LONGEST_REST", 0.0)
    with Annotations(tiny_store.path) as annotations:
        query = LatentQuery(state="explained")
        assert list_latents(tiny_store, ["sae"], query, annotations=annotations).total == 0
        annotations.add(Explanation(coder="sae", latent=1, text="x", explainer="pattern"))
        page = list_latents(tiny_store, ["sae"], query, annotations=annotations)
        assert [row.stats.latent for row in page.rows] == [1]


def test_a_busy_store_is_not_read_at_every_turn(tiny_store: Store, monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    with Annotations(tiny_store.path) as annotations:
        read = annotations.summary

        def slow(coder: str) -> object:
            clock[0] += 2.0
            return read(coder)

        monkeypatch.setattr(annotations, "summary", slow)
        kept = AnnotatedStore(annotations, clock=lambda: clock[0])
        first = kept.coder("sae")
        annotations.add(Explanation(coder="sae", latent=1, text="x", explainer="pattern"))
        clock[0] += 3.9
        assert kept.coder("sae") is first
        clock[0] += 0.2
        assert kept.coder("sae").explanations.num_rows == 1


def test_kept_annotations_go_with_their_owner(tiny_store: Store):
    annotations = Annotations(tiny_store.path)
    kept = weakref.ref(annotated_store(annotations))
    assert kept() is annotated_store(annotations)
    annotations.close()
    del annotations
    gc.collect()
    assert kept() is None


TEXTS = ["The word cat.", "concatenation", "cat_name, a CAT", "STRASSE and straße", "", "a.b and $x$", "cat"]


@pytest.mark.parametrize(
    "query", ["cat", "CAT the", "strasse", "straße", "$x$ a.b", "", " ", "zebra", "\ud800", "\x00", "cat cat"]
)
def test_words_are_found_in_any_case_and_all_of_them(tiny_store: Store, query: str):
    with Annotations(tiny_store.path) as annotations:
        annotations.add(
            *(
                Explanation(coder="sae", latent=i, text=text, explainer="pattern")
                for i, text in enumerate(TEXTS)
            )
        )
        found = annotated_store(annotations).coder("sae").find_words(query).to_pylist()
    words = query.casefold().split()
    expected = [i for i, text in enumerate(TEXTS) if words and all(word in text.casefold() for word in words)]
    assert [row["latent"] for row in found] == expected
    if query == "cat":
        order = sorted(found, key=lambda row: -row["relevance"])
        assert [TEXTS[row["latent"]] for row in order] == [
            "cat",
            "The word cat.",
            "cat_name, a CAT",
            "concatenation",
        ]
