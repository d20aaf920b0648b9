"""Explanations and scores on the Overview."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from scipy import stats
from streamlit.testing.v1 import AppTest

from autointerp.records import Explanation, Score, config_hash
from autointerp.score.options import ScoreOptions
from autointerp.score.population import expected
from autointerp.store import ScoreKind, Store
from autointerp.store.annotations import Annotations
from autointerp.types import CoderInfo
from autointerp.ui.overview import pairs as overview_pairs
from autointerp.ui.shared import format as fmt
from tests.app.reading import messages, record, records
from tests.explained import Explained

PATTERN, PERSON = "pattern", "person"


@pytest.fixture
def scored_store(tiny_store: Store) -> Store:
    """Six live features of `sae` and five of `transcoder`, scored by detection and fuzzing, which agree but for one."""
    rng = np.random.default_rng(3)
    with Annotations(tiny_store.path) as annotations:
        for coder, latents in (("sae", (0, 1, 2, 3, 4, 6)), ("transcoder", (1, 2, 3, 4, 5))):
            for i, latent in enumerate(latents):
                made = Explanation(coder=coder, latent=latent, text=f"{coder} {latent}", explainer=PATTERN)
                annotations.add(made)
                base = 0.4 + 0.1 * i
                for scorer in ("detection", "fuzzing"):
                    value = base + float(rng.uniform(0, 0.04))
                    if (coder, latent, scorer) == ("sae", 6, "detection"):
                        value = 0.3  # fuzzing 0.9
                    annotations.add(
                        Score(
                            explanation_id=made.id, scorer=scorer, judge="offline", value=value, ci_low=value - 0.1,
                            ci_high=value + 0.05, n_pos=10, n_neg=10, floor=0.5,
                        )
                    )  # fmt: skip
        annotations.jobs.submit("explain", {"coder": "sae"}, [1, 2], label="explain 2 features of sae")
    return tiny_store


def tables(app: AppTest) -> list[dict[str, Any]]:
    assert not app.exception, app.exception
    return records(app, "list")


def rows(table: dict[str, Any]) -> list[tuple[str, int]]:
    return [(row["go"]["coder"], row["go"]["latent"]) for row in table["rows"]]


def test_nothing_explained_says_what_to_do(open_page, tiny_store: Store):
    app = open_page(tiny_store, "overview")
    assert len(tables(app)) == 1
    assert "Nothing is explained yet" in messages(app)
    assert "autointerp explain" in "".join(block.value for block in app.code)


def test_what_to_explain_first_is_no_control(open_page, tiny_store: Store, monkeypatch: pytest.MonkeyPatch):
    coders = Store.coders

    def with_control(self: Store) -> list[CoderInfo]:
        first, *others = coders(self)
        return [replace(first, kind="random"), *others]

    monkeypatch.setattr(Store, "coders", with_control)
    app = open_page(tiny_store, "overview")
    assert " transcoder --explainer pattern" in "".join(block.value for block in app.code)


def test_no_section_in_a_store_without_coders(open_page, tiny_store: Store):
    for file in (tiny_store.path / "coders").glob("*"):
        file.unlink()
    app = open_page(tiny_store, "overview")
    assert not app.exception
    assert not app.subheader


def test_coverage_best_worst_and_recent(open_page, scored_store: Store):
    app = open_page(scored_store, "overview")
    _, best, worst, coverage, pairs, *_ = tables(app)
    assert [row["cells"][:3] for row in coverage["rows"]] == [
        ["sae", "6 of 7", "0"],
        ["transcoder", "all 5", "0"],
    ]
    assert coverage["rows"][0]["cells"][3].endswith(" · all")
    assert rows(best)[:3] == [("sae", 4), ("transcoder", 5), ("transcoder", 4)]
    assert rows(worst)[0] == ("sae", 6)
    assert len(pairs["rows"]) == 1
    latest = tables(app)[-1]
    assert rows(latest)[0] == ("transcoder", 5)
    jobs = record(app, "jobs")
    assert jobs is not None
    assert jobs["rows"][0]["cells"][1]["label"] == "explain 2 features of sae"
    assert len(jobs["columns"]) == len(jobs["rows"][0]["cells"])
    assert {"actions"}.isdisjoint(
        column["kind"] for column in jobs["columns"]
    )  # a button here would do nothing
    assert len(app.get("plotly_chart")) == 1 + 2


def test_agreement_is_scipys_and_disagreement_is_found(open_page, scored_store: Store):
    app = open_page(scored_store, "overview", of="sae")
    pairs = next(table for table in tables(app) if table["page"] == "")
    with Annotations(scored_store.path) as annotations:
        found: dict[str, list[float]] = {"detection": [], "fuzzing": []}
        for score in sorted(annotations.score_summary("sae").to_pylist(), key=lambda row: row["latent"]):
            found[score["scorer"]].append(score["value"])
    (cells,) = (row["cells"] for row in pairs["rows"])
    x, y = found["detection"], found["fuzzing"]
    assert cells[1:] == [
        f"{stats.spearmanr(x, y)[0]:.2f}".replace("-", "−"), f"{stats.pearsonr(x, y)[0]:.2f}".replace("-", "−"), "6"
    ]  # fmt: skip
    apart = tables(app)[tables(app).index(pairs) + 1 :]
    assert rows(apart[1])[0] == ("sae", 6)  # fuzzing high, detection low
    assert "does not separate activating from non-activating texts" in messages(app)
    assert apart[1]["rows"][0]["cells"][0] == "sae #6"


def test_what_ranks_high_by_chance_alone_is_not_called_high(open_page, tiny_store: Store):
    """Six features whose intervention scores and detection scores run against each other; one is clearly above its floor."""
    latents = [0, 1, 2, 3, 4, 6]

    def score(above: set[int]) -> None:
        with Annotations(tiny_store.path) as annotations:
            for at, latent in enumerate(latents):
                made = Explanation(coder="sae", latent=latent, text=f"sae {latent}", explainer=PATTERN)
                annotations.add(made)
                value = 1.0 + at
                low = 0.1 if latent in above else -0.1
                annotations.add(
                    Score(
                        explanation_id=made.id, scorer="intervention", judge="language model", metric="nats", value=value,
                        ci_low=value - 1, ci_high=value + 1, n_pos=10, n_neg=0, floor=0.0, above_low=low, above_high=9.0,
                    )
                )  # fmt: skip
                detection = 0.9 - 0.05 * at
                annotations.add(
                    Score(
                        explanation_id=made.id, scorer="detection", judge="offline", value=detection, ci_low=detection - 0.01,
                        ci_high=detection + 0.01, n_pos=10, n_neg=10, floor=0.5,
                    )
                )  # fmt: skip

    score(set())
    app = open_page(tiny_store, "overview", of="sae")
    assert "No feature ranks higher on Intervention" in messages(app)
    score({4})
    app = open_page(tiny_store, "overview", of="sae")
    pairs = next(table for table in tables(app) if table["page"] == "")
    high_on = tables(app)[tables(app).index(pairs) + 1 :]
    listed = [rows(table) for table in high_on]
    assert [("sae", 4)] in listed
    assert "No feature ranks higher" not in messages(app)


def test_over_several_coders_scorers_agree_within_each(open_page, scored_store: Store):
    app = open_page(scored_store, "overview")
    pairs = next(table for table in tables(app) if table["page"] == "")
    sides: list[list[float]] = [[], []]
    with Annotations(scored_store.path) as annotations:
        for coder in ("sae", "transcoder"):
            table = annotations.score_summary(coder).to_pandas().sort_values("latent")
            for side, scorer in zip(sides, ("detection", "fuzzing"), strict=True):
                values = table[table["scorer"] == scorer]["value"]
                side += (values - values.mean()).tolist()
    assert pairs["rows"][0]["cells"][2] == f"{stats.pearsonr(*sides)[0]:.2f}".replace("-", "−")
    assert "within coders" in messages(app)


def test_best_and_worst_are_ranked_by_what_to_expect_of_them(open_page, scored_store: Store):
    app = open_page(scored_store, "overview")
    _, best, worst, *_ = tables(app)
    known: dict[tuple[str, int], float] = {}
    with Annotations(scored_store.path) as annotations:
        for coder in ("sae", "transcoder"):
            table = annotations.score_summary(coder).to_pandas()
            table = table[table["scorer"] == "detection"]
            value, low, high, floor = (
                table[name].fillna(0.5 if name == "floor" else np.nan).to_numpy(float)
                for name in ("value", "ci_low", "ci_high", "floor")
            )
            doubled = np.where(table["floor"].isna(), 1, np.sqrt(2))
            half = np.where(
                table["above_low"].isna(), doubled * (high - low) / 2, value - floor - table["above_low"]
            )
            n = (table["n_pos"] + table["n_neg"]).to_numpy(float)
            fresh = expected(value - floor, half / 1.959964, n)
            known |= {(coder, latent): value for latent, value in zip(table["latent"], fresh, strict=True)}
    ranked = sorted(known, key=lambda feature: known[feature])
    shown = {row: float(known[row]) for table in (best, worst) for row in rows(table)}
    assert [shown[row] for row in rows(best)] == pytest.approx([known[row] for row in ranked[:-7:-1]])
    assert [shown[row] for row in rows(worst)] == pytest.approx([known[row] for row in ranked[:6]])
    for table in (best, worst):
        written = [float(row["cells"][3].replace("−", "-")) for row in table["rows"]]
        assert written == pytest.approx([known[row] for row in rows(table)], abs=0.0051)
        assert table["columns"][3]["title"] == "Expected above\u00a0floor"


@pytest.mark.parametrize("of", [None, "sae"])
def test_the_best_and_the_worst_are_the_ends_of_a_list(open_page, scored_store: Store, of: str | None):
    """Of the list in its own order, that it opens with: with one meaning of best."""
    app = open_page(scored_store, "overview", **({"of": of} if of else {}))
    _, best, worst, *_ = tables(app)
    queries = _see_all(app)
    assert [query.get("order") for query in queries] == [None, "asc"]
    assert all("sort" not in query for query in queries)
    for table, query in zip((best, worst), queries, strict=True):
        listed = open_page(scored_store, "features", **query)
        whole = next(t for t in tables(listed) if t["page"] == "feature")
        assert rows(whole)[: len(rows(table))] == rows(table)
        for place, row in enumerate(table["rows"]):
            assert dict(parse_qsl(row["go"]["list"])) == query
            assert row["go"]["at"] == str(place)
            help_ = whole["rows"][place]["cells"][2]["help"]
            assert help_.startswith(f"Expected above floor: {row['cells'][3]}. ")
        helps = {caption.help for page in (app, listed) for caption in page.caption if caption.help}
        assert table["columns"][3]["help"] in helps
    unasked = open_page(scored_store, "features", **({"coder": of} if of else {}))
    assert rows(next(t for t in tables(unasked) if t["page"] == "feature"))[: len(rows(best))] == rows(best)
    go = worst["rows"][1]["go"]
    app = open_page(scored_store, "feature", **{name: str(value) for name, value in go.items()})
    assert not app.exception
    app.button(key="previous").click().run()
    assert app.query_params["latent"] == str(worst["rows"][0]["go"]["latent"])


def _see_all(app: AppTest) -> list[dict[str, str]]:
    links = [element.proto for element in app.get("page_link") if element.proto.label.startswith("See all")]
    return [dict(parse_qsl(link.query_string)) for link in links]


def test_the_plot_of_a_pair_is_drawn_when_asked_for(open_page, scored_store: Store):
    app = open_page(scored_store, "overview", plot="1")
    assert len(app.get("plotly_chart")) == 1 + 3
    app.toggle(key="url_plot").set_value(False).run()
    assert not app.exception
    assert "plot" not in app.query_params
    assert len(app.get("plotly_chart")) == 1 + 2


def test_one_coder_one_score(open_page, scored_store: Store):
    app = open_page(scored_store, "overview")
    app.selectbox(key="url_of").set_value("transcoder").run()
    fuzzing = f"fuzzing~offline~held-out~random~@{config_hash({})[:12]}"
    app.selectbox(key="url_score").set_value(fuzzing).run()
    assert not app.exception
    assert (app.query_params["of"], app.query_params["score"]) == ("transcoder", fuzzing)
    best = tables(app)[1]
    assert {coder for coder, _ in rows(best)} == {"transcoder"}
    assert best["columns"][2]["title"] == "Fuzzing · offline judge"


def test_hostile_texts_failures_and_many_kinds(open_page, explained_store: Explained):
    app = open_page(explained_store, "overview")
    coverage = tables(app)[3]
    assert coverage["rows"][0]["cells"][:3] == ["sae", "6 of 7", "1"]
    titles = [column["title"] for column in coverage["columns"]]
    assert "Embedding · embedder MiniLM" in titles
    assert not app.get("html")


def test_kinds_of_scores_beyond_the_usual_are_told_and_a_click_away(open_page, scored_store: Store):
    with Annotations(scored_store.path) as annotations:
        shown = annotations.shown("sae", 0)
        assert shown is not None
        for model in ("a", "b", "c", "d", "e", "f"):
            annotations.add(
                Score(explanation_id=shown.id, scorer="detection", judge="llm", model=model, value=0.6)
            )
    app = open_page(scored_store, "overview")
    assert len(tables(app)[3]["columns"]) == 3 + 6
    assert "Showing the 6 most common; 2 hidden: Detection · e, Detection · f" in messages(app)
    app.toggle(key="url_kinds").set_value(True).run()
    assert app.query_params["kinds"] == "all"
    titles = [column["title"] for column in tables(app)[3]["columns"]]
    assert titles[-2:] == ["Detection · e", "Detection · f"] or {"Detection · e", "Detection · f"} <= set(
        titles
    )
    assert "not shown" not in messages(app)
    config = config_hash({})[:12]
    app = open_page(scored_store, "overview", score=f"detection~llm~held-out~random~f~@{config}")
    coverage = next(table for table in tables(app) if table["columns"][1]["title"] == "Explained")
    assert len(coverage["columns"]) == 3 + 7, "what the address asks for is shown"


def _again(annotations: Annotations, coder: str, latents: Sequence[int], value: float, **config: Any) -> None:
    for latent in latents:
        shown = annotations.shown(coder, latent)
        assert shown is not None
        annotations.add(
            Score(
                explanation_id=shown.id, scorer="detection", judge="offline", value=value, ci_low=value - 0.1,
                ci_high=value + 0.1, n_pos=2, n_neg=2, config=config,
            )
        )  # fmt: skip


def test_scores_of_other_settings_are_not_mixed_in(open_page, scored_store: Store):
    before = tables(open_page(scored_store, "overview"))[3]["rows"]
    with Annotations(scored_store.path) as annotations:
        _again(annotations, "sae", (0, 1, 2), 0.99, n_examples=2, n_negatives=2, seed=7)
    app = open_page(scored_store, "overview")
    coverage = tables(app)[3]
    assert [row["cells"] for row in coverage["rows"]] == [row["cells"] for row in before]
    assert r"1 hidden: Detection · offline judge · n 2 \+ 2 · seed 7" in messages(app)
    app.toggle(key="url_kinds").set_value(True).run()
    coverage = tables(app)[3]
    assert len(coverage["columns"]) == 3 + 3
    of = next(i for i, column in enumerate(coverage["columns"]) if "seed 7" in column["title"])
    assert coverage["rows"][0]["cells"][of] == "0.99 · 3 of 6"
    key = next(option for option in app.selectbox(key="url_score").options if "seed 7" in option)
    assert key == "Detection · offline judge · n 2 + 2 · seed 7"


def test_scores_of_explanations_by_others_are_not_mixed_in(open_page, scored_store: Store):
    with Annotations(scored_store.path) as annotations:
        annotations.show_by("newest")
        for latent in (0, 1):
            annotations.add(
                Explanation(
                    coder="sae",
                    latent=latent,
                    text="x",
                    explainer="default",
                    model="m",
                    prompt_version="explain-2",
                )
            )
        _again(annotations, "sae", (0, 1), 0.99)
    app = open_page(scored_store, "overview")
    assert app.selectbox(key="url_by").options == [
        "Explained by pattern (9)", "Explained by LLM · m · explain-2 (2)",
    ]  # fmt: skip
    assert "4 of 6" in tables(app)[3]["rows"][0]["cells"][3]
    app = open_page(scored_store, "overview", by="default · m · explain-2")
    assert tables(app)[3]["rows"][0]["cells"][3] == "0.99 · 2 of 6"
    assert len(rows(tables(app)[1])) == 2


def test_explained_and_not_scored(open_page, tiny_store: Store):
    with Annotations(tiny_store.path) as annotations:
        annotations.add(Explanation(coder="sae", latent=1, text="x", explainer=PERSON, author="<b>Eve</b>"))
    app = open_page(tiny_store, "overview")
    assert not app.exception
    assert "None of these explanations is scored yet" in messages(app)
    assert rows(tables(app)[-1]) == [("sae", 1)]


@pytest.mark.parametrize("value", ["<script>", "-1", "\x00", "sae", "9" * 300, "~~~"])
def test_hostile_addresses_give_a_page(open_page, scored_store: Store, value: str):
    app = open_page(scored_store, "overview", **dict.fromkeys(("of", "score", "x", "y", "plot"), value))
    assert not app.exception
    assert len(tables(app)) > 4


def test_annotations_that_cannot_be_read_leave_the_rest(open_page, scored_store: Store):
    (scored_store.path / "annotations.sqlite").write_bytes(b"this is no database" * 100)
    for file in Path(scored_store.path).glob("annotations.sqlite-*"):
        file.unlink()
    app = open_page(scored_store, "overview")
    assert len(tables(app)) == 1
    assert "Cannot read" in messages(app)


def test_scores_of_a_few_features_stand_after_the_others(
    open_page, scored_store: Store, monkeypatch: pytest.MonkeyPatch
):
    """A judge that was tried on three features is no first column, and its correlations are no first line."""
    monkeypatch.setattr(overview_pairs, "RARE", 0.5)
    with Annotations(scored_store.path) as annotations:
        for latent in (0, 1, 2, 3, 4, 6):
            shown = annotations.shown("sae", latent)
            assert shown is not None
            asked = [("embedding", "embedder", "e")]
            asked += [("detection", "llm", "m"), ("fuzzing", "llm", "m")] if latent < 3 else []
            for place, (scorer, judge, model) in enumerate(asked):
                value = 0.5 + latent / 20 + place / 100
                annotations.add(
                    Score(
                        explanation_id=shown.id, scorer=scorer, judge=judge, model=model, value=value, ci_low=value - 0.1,
                        ci_high=value + 0.05, n_pos=10, n_neg=10, floor=0.5,
                    )
                )  # fmt: skip
    app = open_page(scored_store, "overview")
    coverage, pairs = tables(app)[3], next(table for table in tables(app) if table["page"] == "")
    titles = [column["title"] for column in coverage["columns"][3:]]
    assert [title.split(" · ")[1] == "m" for title in titles] == [False, False, False, True, True]
    assert [row["cells"][3] for row in pairs["rows"]] == ["11", "6", "6", *["3"] * 7]


def test_the_worst_are_scored_again_on_more_examples(open_page, explained_store: Explained):
    store, annotations = explained_store.store, Annotations(explained_store.store.path)
    with annotations:
        options = ScoreOptions(n_examples=4, n_negatives=4)
        more = ScoreOptions(n_examples=200, n_negatives=200, seed=1)
        for latent in (0, 1):
            shown = annotations.shown("sae", latent)
            assert shown is not None
            annotations.add(
                Score(
                    explanation_id=shown.id, scorer="detection", judge="offline", value=0.4, ci_low=0.2, ci_high=0.6,
                    n_pos=4, n_neg=4, config=options.identity(),
                )
            )  # fmt: skip
        kind = ScoreKind(
            "detection", "offline", "held-out", "random", None, config_hash(options.identity())[:12]
        )
        app = open_page(store, "overview", kinds="all", score=kind.key)
        app.button(key="again_worst").click().run()
        assert not app.exception
        deadline = time.monotonic() + 60
        while annotations.jobs.active() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert annotations.jobs.recent(limit=1)[0].total == 1, "the other explanation was made another way"
        rows_now = annotations.score_summary("sae").to_pylist()
        again = [row for row in rows_now if row["config"] == config_hash(more.identity())[:12]]
    app = open_page(store, "overview", kinds="all", score=kind.key)
    worst = next(table for table in tables(app) if [c["title"] for c in table["columns"]][-1:] == ["Again"])
    scored = {row["latent"]: fmt.signed(row["value"] - row["floor"]) for row in again}
    assert {row["go"]["latent"]: row["cells"][-1] for row in worst["rows"]} == scored
    assert len(scored) == 1


def test_scores_by_a_language_model_are_not_bought_again_by_a_click(open_page, scored_store: Store):
    with Annotations(scored_store.path) as annotations:
        _again(annotations, "sae", (0, 1, 2), 0.5, n_examples=4, n_negatives=4, judge="llm")
    app = open_page(scored_store, "overview", kinds="all")
    assert not [button for button in app.button if str(button.key).startswith("again_")]
