"""Neuronpedia's export, SAEDashboard's batches and circuit-tracer's features as stores of selected contexts."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.formats.registry import IMPORTS, recognise
from autointerp.formats.requests import ImportRequest
from autointerp.formats.selected.names import vocabulary
from autointerp.formats.summary import Summary
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.examples import heldout_places, select_evidence
from autointerp.pipeline.resources import Resources
from autointerp.probe.recorded import load_subject
from autointerp.records import Explanation
from autointerp.sampling import build_groups
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.store.checking import check
from autointerp.types import no_progress
from tests.cli.conftest import RunError, RunJson, RunText
from tests.formats.neuronpedia_files import (
    ACTIVATIONS,
    CAT,
    DOG,
    FEATURES,
    MODEL,
    RAIN,
    SHORT,
    SILENT,
    SOURCE,
    activation,
    circuit_feature,
    dashboard_feature,
    explanation,
    feature,
    write_circuits,
    write_dashboard,
    write_export,
    write_lines,
)
from tests.pipeline.conftest import score_once, write_once


def run(name: str, *sources: Path, store: Path, coder: str | None = None, **options: Any) -> Summary:
    form = IMPORTS[name]
    values = {option.name: options.get(option.name, option.default) for option in form.options}
    return form.make(ImportRequest(sources=sources, store=store, name=coder, options=values), no_progress)


@pytest.fixture
def imported(tmp_path: Path) -> Store:
    run("neuronpedia", write_export(tmp_path / "v1"), store=tmp_path / "store")
    return Store.open(tmp_path / "store")


def words(store: Store, context: int) -> list[str]:
    texts = [store.vocabulary().text(int(token)) for token in store.tokens[context]]
    return [text for text in texts if text]


def values(store: Store, coder: str, latent: int) -> dict[int, dict[int, float]]:
    """Activations by context and position."""
    acts = store.coder(coder).activations(latent)
    found: dict[int, dict[int, float]] = {}
    for token, value in zip(acts.token.tolist(), acts.activation.tolist(), strict=True):
        found.setdefault(token // store.ctx_len, {})[token % store.ctx_len] = value
    return found


def test_contexts_are_stored_once_with_the_activations_of_each_latent(imported: Store):
    assert [words(imported, context) for context in range(imported.n_contexts)] == [
        list(tokens) for tokens, _ in (CAT, DOG, SHORT, SILENT, RAIN)
    ]
    assert values(imported, SOURCE, 0) == {0: {2: 4.5, 3: 0.25}, 1: {5: 3.0}, 2: {1: 2.0, 2: 1.0}}
    assert values(imported, SOURCE, 1) == {4: {1: 5.0, 7: 1.5}}
    assert values(imported, SOURCE, 2) == {}
    assert check(imported) == []
    # The context that is shorter is filled up with a token that is no text.
    assert lengths(imported).tolist() == [8, 8, 3, 8, 8]
    assert imported.vocabulary().is_special(int(imported.tokens[2, -1]))
    assert imported.context_text(2) == "<bos> cats"


def test_figures_are_those_of_the_file_and_none_is_computed_from_its_contexts(imported: Store):
    coder = imported.coder(SOURCE)
    assert coder.info.selected
    assert coder.info.l0 is None
    stats = coder.all_stats(0)
    assert (stats["density"], stats["max_activation"]) == (0.00321, 4.5)
    for name in (
        "mean_activation",
        "top_token",
        "top_token_share",
        "token_entropy",
        "positional",
        "context_density",
    ):
        assert stats[name] is None
    histogram = coder.histogram(0)
    assert histogram.edges.tolist() == [0.0, 1.5, 3.0, 4.5]
    assert histogram.counts.tolist() == [30, 10, 2]
    assert len(coder.histogram(2).counts) == 0
    promoted, suppressed = coder.promoted(0)
    text = imported.vocabulary().text
    assert [(text(each.token), each.value) for each in promoted] == [(" cat", 2.5), (" kitten", 1.25)]
    assert [(text(each.token), each.value) for each in suppressed] == [(" not", -1.5), ("x", -1.0)]
    assert [(near.latent, near.value) for near in coder.neighbours(0, "decoder")] == [(3, 0.5), (1, 0.25)]
    table = imported.sql("SELECT density, mean_activation FROM latents ORDER BY latent")
    assert table["density"].to_pylist() == [0.00321, 0.00321, 0.0, 0.00321]
    assert table["mean_activation"].to_pylist() == [None] * 4
    assert imported.sql("SELECT n FROM histograms WHERE latent = 1")["n"].to_pylist() == [30, 10, 2]
    assert imported.sql("SELECT * FROM quantiles").num_rows == 0


def test_a_figure_that_the_file_does_not_state_is_absent(tmp_path: Path):
    bare = {"modelId": MODEL, "layer": SOURCE, "index": 0}
    run("neuronpedia", write_export(tmp_path / "v1", [bare], ACTIVATIONS[:2]), store=tmp_path / "store")
    coder = Store.open(tmp_path / "store").coder(SOURCE)
    stats = coder.all_stats(0)
    assert (stats["density"], stats["max_activation"], stats.is_dead) == (None, None, False)
    assert coder.density_histogram(4)[1].tolist() == [0]
    assert not coder.info.has_logits
    assert coder.info.absent.keys() >= {"promoted_tokens", "decoder", "encoder", "cofiring", "fidelity"}


def test_explanations_come_with_author_type_and_model(tmp_path: Path):
    twice = {
        "explanations": [
            explanation(0, "cats"),
            explanation(0, "felines", typeName=None, explanationModelName=None),
        ],
        "explanations-gpt-4o-mini": [
            explanation(1, "rain"),
            explanation(9, "of nobody"),
            explanation(1, " "),
        ],
    }
    summary = run("neuronpedia", write_export(tmp_path / "v1", explanations=twice), store=tmp_path / "store")
    assert summary.taken["explanations"] == 3
    assert {(left.what, left.n) for left in summary.left_out} >= {("explanations", 1)}
    with Annotations(tmp_path / "store") as annotations:
        cats, felines = sorted(annotations.explanations(SOURCE, 0), key=lambda each: each.text)
        assert (cats.explainer, cats.model, cats.text) == ("oai_token-act-pair", "gpt-4o-mini", "cats")
        assert (felines.explainer, felines.model) == ("neuronpedia", None)
        assert [each.text for each in annotations.explanations(SOURCE, 1)] == ["rain"]


def test_the_same_import_again_changes_nothing_and_another_is_refused(tmp_path: Path):
    source = write_export(tmp_path / "v1")
    run("neuronpedia", source, store=tmp_path / "store")
    again = run("neuronpedia", source, store=tmp_path / "store")
    assert again.taken == again.known == {"coders": 1, "contexts": 5, "explanations": 3}
    other = write_export(tmp_path / "v2", activations=ACTIVATIONS[:3])
    with pytest.raises(UserError, match="holds another text"):
        run("neuronpedia", other, store=tmp_path / "store")


def test_sources_of_one_model_make_one_store(tmp_path: Path):
    def of(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "layer": "7-toy-res-4"}

    first = write_export(tmp_path / "v1")
    second = first.parent / "7-toy-res-4"
    write_lines(second / "features" / "batch-0.jsonl", [of(feature(0))])
    write_lines(
        second / "activations" / "batch-0.jsonl",
        [of(activation(0, RAIN)), of(activation(0, (["new"], [1.0])))],
    )
    summary = run("neuronpedia", first.parent, store=tmp_path / "store")
    assert summary.taken["coders"] == 2
    store = Store.open(tmp_path / "store")
    assert [info.coder for info in store.coders()] == [SOURCE, "7-toy-res-4"]
    assert store.n_contexts == 6
    assert values(store, "7-toy-res-4", 0) == {4: {1: 5.0, 7: 1.5}, 5: {0: 1.0}}


def test_latents_and_batches_can_be_chosen(tmp_path: Path):
    source = write_export(tmp_path / "v1")
    write_lines(source / "features" / "batch-1.jsonl.gz", [feature(1030), feature(1031)])
    write_lines(source / "activations" / "batch-1.jsonl.gz", [activation(1030, RAIN)])
    run("neuronpedia", source, store=tmp_path / "some", only_latents="0,1030")
    assert Store.open(tmp_path / "some").coder(SOURCE).table().live.tolist() == [0, 1030]
    run("neuronpedia", source, store=tmp_path / "batch", batches="1")
    coder = Store.open(tmp_path / "batch").coder(SOURCE)
    assert coder.table().live.tolist() == [1030]
    assert coder.stats(1030)["density"] == 0.00321
    assert coder.stats(0)["density"] is None  # its row was in another batch of activations
    (source / "features" / "batch-0.jsonl.gz").unlink()
    with pytest.raises(UserError, match="has no batch-0"):
        run("neuronpedia", source, store=tmp_path / "missing")


def test_examples_are_of_contexts_in_which_the_latent_is_known(imported: Store, tmp_path: Path):
    """Latent 1 is known in two contexts alone; the others are silent of it in no file."""
    assert known(imported, 1) == [3, 4]
    with Annotations(imported.path) as annotations:
        resources = Resources(imported, annotations)
        options = ExplainOptions(explainer="default", window=4, n_contrast=20)
        shown = [
            (each.example.context, each.example.start)
            for latent in (0, 1, 3)
            for each in select_evidence(resources, SOURCE, latent, options).non_activating
        ]
        silent_in = {0: {0, 1, 2, 3}, 1: {3, 4}, 3: {1}}
        assert {context for context, _ in shown} <= set().union(*silent_in.values())
        for latent, contexts in silent_in.items():
            evidence = select_evidence(resources, SOURCE, latent, options)
            assert {each.example.context for each in evidence.non_activating} <= contexts
            for example in [each.example for each in (*evidence.activating, *evidence.non_activating)]:
                # No window holds padding.
                assert example.start + len(example.token_ids) <= lengths(imported)[example.context]
        for written in annotations.explanations(SOURCE, 0):
            (places,) = heldout_places(resources, [written], ScoreOptions(scorer="detection", window=4))
            assert places is not None
            assert {context for context, _, _ in places.non_activating.spans.tolist()} <= silent_in[0]
            delphi = ScoreOptions(scorer="detection", window=4, protocol="delphi")
            (places,) = heldout_places(resources, [written], delphi)
            assert places is not None
            assert {context for context, _, _ in places.non_activating.spans.tolist()} <= silent_in[0]
            assert (
                places.non_activating.spans[:, 2] <= lengths(imported)[places.non_activating.spans[:, 0]]
            ).all()


@pytest.mark.parametrize("centre", [None, 1])
def test_no_window_holds_padding(imported: Store, centre: int | None):
    coder = imported.coder(SOURCE)
    for latent in (0, 1, 3):
        groups = build_groups(
            coder.activations(latent),
            imported.tokens,
            rng=np.random.default_rng(0),
            window=2,
            n_top=50,
            n_random=50,
            n_per_quantile=50,
            n_non_activating=100,
            n_hard=50,
            neighbour_acts=[(other, coder.activations(other)) for other in (0, 1, 3) if other != latent],
            centre=centre,
            contexts=coder.known_contexts(latent),
            lengths=lengths(imported),
            dedupe=False,
        )
        shown = [example for examples in groups.values() for example in examples]
        assert {example.context for example in shown} == set(known(imported, latent))
        for example in shown:
            assert 0 < len(example.token_ids) <= lengths(imported)[example.context] - example.start
        silent = {(example.context, example.start) for example in groups["non_activating"]}
        fires = {(token // 8, token % 8 // 2 * 2) for token in coder.activations(latent).token.tolist()}
        # Every window of text in which it is inactive, and no other.
        expected = {
            (c, start) for c in known(imported, latent) for start in range(0, lengths(imported)[c], 2)
        } - fires
        assert silent == expected


def test_scores_say_where_non_activating_examples_are_from_and_too_few_are_refused(
    imported: Store, run_json: RunJson, run_text: RunText
):
    arguments = ("score", imported.path, SOURCE, "--scorer", "detection", "--latents", 0)
    document = run_json(*arguments, "--window", 4)
    assert document["scorers"][0]["n_scored"] == 1
    with Annotations(imported.path) as annotations:
        scores = annotations.scores_of_latent(SOURCE, 0)
        assert {score.negatives for score in scores} == {"own contexts"}
        assert {example.context for example in annotations.judged(scores[0].id)} <= {0, 1, 2, 3}
    # Latent 3 has one context: nothing is left to score on.
    with Annotations(imported.path) as annotations:
        annotations.add(Explanation(coder=SOURCE, latent=3, text="dogs", explainer="pattern"))
    code, out, err = run_text(
        "score", imported.path, SOURCE, "--scorer", "detection", "--latents", 3, "--window", 4
    )
    assert code != 0
    assert "no held-out activating examples" in out + err


def test_the_command_line_says_that_contexts_are_selected(
    imported: Store, run_json: RunJson, run_text: RunText
):
    (coder,) = run_json("info", imported.path)["coders"]
    assert (coder["selected"], coder["n_dead"], coder["l0"]) == (True, None, None)
    _, out, _ = run_text("latent", imported.path, SOURCE, 0, "--window", 4)
    assert "selected contexts, not a corpus" in out
    assert "mean activation" not in out
    _, out, _ = run_text("latent", imported.path, SOURCE, 2, "--window", 4)
    assert "the imported files have no context for it" in out


def test_comparing_probing_and_caching_say_why_not(imported: Store, tmp_path: Path, run_error: RunError):
    source = write_export(tmp_path / "v2").parent
    other = source / "7-toy-res-4"
    for kind, rows in (("features", FEATURES), ("activations", ACTIVATIONS)):
        write_lines(other / kind / "batch-0.jsonl.gz", [{**row, "layer": "7-toy-res-4"} for row in rows])
    run("neuronpedia", source, store=tmp_path / "two")
    assert "holds selected contexts" in run_error(
        "compare", tmp_path / "two", "--coders", SOURCE, "7-toy-res-4"
    )
    assert "holds selected contexts" in run_error("match", tmp_path / "two", SOURCE, "7-toy-res-4")
    with Annotations(imported.path) as annotations, pytest.raises(UserError, match="was imported"):
        Resources(imported, annotations).text_model()
    with pytest.raises(UserError, match="but not their ids"):
        load_subject(imported)


def test_saedashboard_comes_in(tmp_path: Path):
    folder = write_dashboard(tmp_path / "dash", [[dashboard_feature(0)], [dashboard_feature(5, (RAIN,))]])
    assert recognise((folder,)).name == "saedashboard"
    run("saedashboard", folder, store=tmp_path / "store")
    store = Store.open(tmp_path / "store")
    coder = store.coder("6-toy-res")
    assert coder.info.n_latents == 6
    assert values(store, "6-toy-res", 5) == {3: {1: 5.0, 7: 1.5}}
    assert coder.stats(0)["max_activation"] == 4.5  # the upper bound of the strongest interval
    assert coder.stats(0)["density"] == 0.001
    assert store.meta["model"]["name"] == MODEL
    mixed = json.loads((folder / "batch-1.json").read_text()) | {"layer": 7}
    (folder / "batch-1.json").write_text(json.dumps(mixed))
    with pytest.raises(UserError, match="from a different coder"):
        run("saedashboard", folder, store=tmp_path / "mixed")
    (folder / "batch-0.json").unlink()
    with pytest.raises(UserError, match="--batches 1"):
        run("saedashboard", folder, store=tmp_path / "missing")
    run("saedashboard", folder, store=tmp_path / "one", batches="1")


def test_circuit_tracer_comes_in_a_coder_for_each_layer(tmp_path: Path):
    folder = write_circuits(
        tmp_path / "toy",
        {
            (0, 3): circuit_feature(),
            (12, 3): circuit_feature((RAIN,), top_logits=[[" wet", 1.5]], act_max=6.0),
        },
    )
    assert recognise((folder,)).name == "circuit-tracer"
    run("circuit-tracer", folder, store=tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert [(info.coder, info.kind) for info in store.coders()] == [
        ("layer-0", "transcoder"),
        ("layer-12", "transcoder"),
    ]
    assert values(store, "layer-0", 3) == {0: {2: 4.5, 3: 0.25}, 1: {5: 3.0}}
    assert values(store, "layer-12", 3) == {2: {1: 5.0, 7: 1.5}}
    assert (
        store.coder("layer-0").info.absent["promoted_tokens"].endswith("not by how much they are promoted.")
    )
    assert store.coder("layer-12").stats(3)["max_activation"] == 6.0
    (promoted,), _ = store.coder("layer-12").promoted(3)
    assert (store.vocabulary().text(promoted.token), promoted.value) == (" wet", 1.5)
    run("circuit-tracer", folder, store=tmp_path / "plain", ids="plain")
    assert [info.coder for info in Store.open(tmp_path / "plain").coders()] == ["layer-0"]


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (
            ["\u0120cat", "\u010a", "caf\u00c3\u00a9", "<|endoftext|>"],
            [" cat", "\n", "caf\u00e9", "<|endoftext|>"],
        ),
        (["\u0120cat", " dog"], ["\u0120cat", " dog"]),  # not all of one scheme: as written
        (["\u2581cat", "<0x0A>", "s"], [" cat", "\n", "s"]),
        (["\u2581cat", " dog", "<0x0A>"], ["\u2581cat", " dog", "\n"]),
        (["<bos>", " cat", ""], ["<bos>", " cat", ""]),
    ],
)
def test_names_that_stand_for_bytes_are_mended_where_that_is_certain(names: list[str], texts: list[str]):
    assert [text for text, _, _ in vocabulary(names)] == texts


def lengths(store: Store) -> NDArray[np.int64]:
    found = store.text_lengths()
    assert found is not None
    return found


def known(store: Store, latent: int) -> list[int]:
    """The contexts in which it is known."""
    found = store.coder(SOURCE).known_contexts(latent)
    assert found is not None
    return np.flatnonzero(found).tolist()


def spoiled(rows: list[dict[str, Any]], at: int, **fields: Any) -> list[dict[str, Any]]:
    return [row | fields if number == at else row for number, row in enumerate(rows)]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "duplicate features": ({"features": [*FEATURES, feature(1)]}, "holds latent 1 twice"),
    "an index that is no number": ({"features": spoiled(FEATURES, 1, index="one")}, "index of a row"),
    "a negative index": ({"features": spoiled(FEATURES, 1, index=-1)}, "whole numbers from 0"),
    "a huge index": ({"features": spoiled(FEATURES, 1, index="99999999")}, "whole numbers from 0"),
    "lengths that differ": ({"activations": spoiled(ACTIVATIONS, 2, values=[1.0])}, "3 tokens and 1 values"),
    "no tokens": ({"activations": spoiled(ACTIVATIONS, 2, tokens=[], values=[])}, "at least one"),
    "tokens that are numbers": (
        {"activations": spoiled(ACTIVATIONS, 2, tokens=[1, 2, 3])},
        "accepted: a string",
    ),
    "NaN": ({"activations": spoiled(ACTIVATIONS, 2, values=[0.0, float("nan"), 0])}, "NaN"),
    "infinity": ({"activations": spoiled(ACTIVATIONS, 2, values=[0.0, 1e999, 0])}, "Infinity"),
    "a density above 1": ({"features": spoiled(FEATURES, 0, frac_nonzero=1.5)}, "accepted: 0 to 1"),
    "promoted tokens without values": (
        {"features": spoiled(FEATURES, 0, pos_values=[])},
        "must be equal in number",
    ),
    "a histogram that is no list": (
        {"features": spoiled(FEATURES, 0, freq_hist_data_bar_heights="high")},
        "accepted: a list",
    ),
    "rows of another source": (
        {"activations": spoiled(ACTIVATIONS, 3, layer="9-other")},
        "the others have",
    ),
    "rows of another model": ({"activations": spoiled(ACTIVATIONS, 3, modelId="other")}, "the others have"),
    "a description that is no text": (
        {"explanations": {"explanations": [explanation(0, "x") | {"description": 3}]}},
        "a string",
    ),
    "no contexts": ({"activations": []}, "no context at all"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_and_leaves_nothing(changes: dict[str, Any], message: str, tmp_path: Path):
    source = write_export(tmp_path / "v1", **changes)
    with pytest.raises(UserError, match=message):
        run("neuronpedia", source, store=tmp_path / "store")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v1"]


def test_files_that_are_damaged_or_made_to_harm_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_export(tmp_path / "v1")
    path = source / "activations" / "batch-0.jsonl.gz"
    whole = path.read_bytes()
    for content, message in (
        (whole[:-20], "truncated"),
        (b"no gzip at all", "cannot be read in full"),
        (gzip.compress(b"[1, 2]\n"), "not an object"),
        (gzip.compress(b'{"index": 1\n'), "not JSON"),
        (gzip.compress(b"[" * 200_000), "nested too deeply"),
        (gzip.compress(b" " * (1 << 27)), "made to exhaust memory"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            run("neuronpedia", source, store=tmp_path / "store")
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(UserError, match="points outside"):
        run("neuronpedia", source, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_nul_and_halves_of_characters_are_left_out(tmp_path: Path):
    context = (["a\0b", "\ud800", "\u202e"], [1.0, 2.0, 0.0])
    run(
        "neuronpedia",
        write_export(
            tmp_path / "v1",
            activations=[activation(0, context)],
            explanations={"explanations": [explanation(0, "x\0y")]},
        ),
        store=tmp_path / "store",
    )
    store = Store.open(tmp_path / "store")
    assert words(store, 0) == ["ab", "?", "\u202e"]
    with Annotations(store.path) as annotations:
        assert [each.text for each in annotations.explanations(SOURCE, 0)] == ["xy"]


def test_many_latents_and_contexts_of_any_length_come_back(tmp_path: Path):
    """Against a plain reading of the same rows; sorted in several parts."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(300):
        n = int(rng.integers(1, 12))
        tokens = [f"t{each}" for each in rng.integers(0, 9, n)]
        rows.append(
            activation(
                int(rng.integers(0, 40)),
                (tokens, np.round(rng.random(n) * (rng.random(n) < 0.6), 3).tolist()),
                number,
            )
        )
    run("neuronpedia", write_export(tmp_path / "v1", [], rows), store=tmp_path / "store")
    store = Store.open(tmp_path / "store")
    expected: dict[tuple[int, tuple[str, ...]], list[float]] = {}
    for row in rows:
        expected.setdefault((int(row["index"]), tuple(row["tokens"])), row["values"])
    found = (
        {
            (latent, tuple(words(store, int(context)))): [
                values(store, SOURCE, latent).get(int(context), {}).get(at, 0.0)
                for at in range(int(lengths(store)[context]))
            ]
            for latent in range(40)
            for context in known(store, latent)
        }
        if store.coder(SOURCE).info.n_latents == 40
        else {}
    )
    assert found.keys() == expected.keys()
    for key, told in expected.items():
        assert found[key] == np.array(told, np.float16).astype(float).tolist()


@pytest.mark.parametrize("scorer", ["generation", "intervention", "surprisal"])
def test_what_runs_the_model_fails_and_nothing_is_asked(
    scorer: str, imported: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any, **__: Any) -> Any:
        raise AssertionError("asked")

    monkeypatch.setattr("autointerp.llm.client.Client.submit", asked)
    llm = LLMOptions(model="m", base_url="http://127.0.0.1:9/v1") if scorer == "generation" else None
    with Annotations(imported.path) as annotations:
        resources = Resources(imported, annotations)
        mine = write_once(resources, SOURCE, 0, "a cat", author="me")
        score = score_once(resources, mine, ScoreOptions(scorer=scorer, llm=llm, n_examples=2, n_negatives=2))
        resources.annotations.add(score)
    assert (score.status, score.value, score.error_kind) == ("failed", None, "model"), score.error
    assert "was imported" in str(score.error)
