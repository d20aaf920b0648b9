"""`autointerp export neuronpedia`, and that what goes out comes back."""

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from autointerp.formats.neuronpedia.groups import PER_INTERVAL, groups
from autointerp.formats.registry import EXPORTS, IMPORTS
from autointerp.formats.requests import ExportRequest, ImportRequest
from autointerp.formats.summary import Summary
from autointerp.records import Explanation, JudgedExample, Score
from autointerp.store import CorpusWriter, Store
from autointerp.store.annotations import Annotations
from autointerp.types import no_progress
from tests.cli.conftest import RunError, RunJson
from tests.conftest import CoderSpec, StoreFactory, write_coder
from tests.formats.neuronpedia_files import FEATURES, activation, explanation

FIELDS = {
    "features": set(FEATURES[0]),
    "activations": set(activation(0, (["a"], [1.0]))),
    "explanations": set(explanation(0, "a")),
}
"""What the public export has in each row."""


def read(path: Path) -> list[dict[str, Any]]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.splitlines()]


def rows(source: Path, kind: str) -> list[dict[str, Any]]:
    """Of all batches, in order."""
    paths = sorted((source / kind).glob("batch-*"), key=lambda path: int(path.name.split(".")[0][6:]))
    return [row for path in paths for row in read(path)]


def export(store: Store, to: Path, latents: list[int] | None = None) -> Summary:
    form = EXPORTS["neuronpedia"]
    options = {option.name: option.default for option in form.options}
    with Annotations(store.path) as annotations:
        selection = {info.coder: latents for info in store.coders()}
        return form.make(
            ExportRequest(store=store, annotations=annotations, selection=selection, to=to, options=options),
            no_progress,
        )


def bring_in(source: Path, to: Path) -> Store:
    form = IMPORTS["neuronpedia"]
    options = {option.name: option.default for option in form.options}
    form.make(ImportRequest(sources=(source,), store=to, options=options), no_progress)
    return Store.open(to)


WORDS = st.lists(
    st.text(st.characters(blacklist_characters="\0\u0120\u2581<", blacklist_categories=["Cs"]), min_size=1, max_size=4),
    min_size=4, max_size=9, unique=True,
)  # fmt: skip
HALVES = st.integers(1, 20_000).map(lambda number: float(np.float16(number / 64)))


@st.composite
def cached(draw: st.DrawFn) -> dict[str, Any]:
    """What a small store is made of."""
    words = [" first", *draw(WORDS)]
    ctx_len, n_contexts = draw(st.integers(2, 6)), draw(st.integers(1, 7))
    ids = st.integers(0, len(words) - 1)
    tokens = draw(st.lists(ids, min_size=ctx_len * n_contexts, max_size=ctx_len * n_contexts))
    n_latents = draw(st.integers(1, 5))
    places = st.dictionaries(st.integers(0, len(tokens) - 1), HALVES, max_size=6)
    firings = {latent: sorted(draw(places).items()) for latent in range(n_latents)}
    m = draw(st.integers(1, 3))
    ranked = st.lists(st.floats(-8, 8, width=16), min_size=n_latents * m, max_size=n_latents * m)
    values = [np.array(draw(ranked), np.float32).reshape(n_latents, m) for _ in range(2)]
    named = [
        np.array(draw(st.lists(ids, min_size=n_latents * m, max_size=n_latents * m))).reshape(n_latents, m)
        for _ in range(2)
    ]
    texts = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1).filter(
        str.strip
    )
    explained = draw(
        st.lists(
            st.tuples(
                st.integers(0, n_latents - 1), texts, st.sampled_from(["pattern", "person", "np_max-act"])
            )
        )
    )
    return {
        "words": list(dict.fromkeys(words)), "tokens": np.array(tokens).reshape(n_contexts, ctx_len), "n_latents": n_latents,
        "firings": firings, "logits": (named[0], values[0], named[1], values[1]), "explained": explained,
    }  # fmt: skip


def make(path: Path, made: dict[str, Any]) -> Store:
    words, tokens, n = made["words"], made["tokens"], made["n_latents"]
    with CorpusWriter(
        path,
        model={"name": "toy"},
        tokenizer={},
        name="text",
        ctx_len=tokens.shape[1],
        vocabulary=[(word, word.encode(), False) for word in words],
    ) as writer:
        writer.append(np.minimum(tokens, len(words) - 1))
        store = writer.finish()
    ring = np.array([[(latent + 1) % n if n > 1 else -1] for latent in range(n)])
    named = [np.minimum(ids, len(words) - 1) for ids in (made["logits"][0], made["logits"][2])]
    logits = (named[0], made["logits"][1], named[1], made["logits"][3])
    spec = CoderSpec(
        made["firings"], n, hookpoint="layers.3.mlp", logits=logits,
        neighbours={"decoder": (ring, np.full((n, 1), 0.25))},
    )  # fmt: skip
    write_coder(store, "sae", spec)
    with Annotations(path) as annotations:
        annotations.add(
            *(
                Explanation(
                    coder="sae",
                    latent=latent,
                    text=text,
                    explainer=name,
                    model=None if name == "person" else "m",
                )
                for latent, text, name in made["explained"]
            )
        )
    return store


def told(store: Store, latent: int) -> dict[str, Any]:
    """Everything of a latent that their format can hold, tokens as text."""
    (info,) = store.coders()
    coder, text = store.coder(info.coder), store.vocabulary().text
    stats = coder.stats(latent)
    histogram = coder.histogram(latent)
    with Annotations(store.path) as annotations:
        explanations = annotations.explanations(info.coder, latent)
    return {
        "density": stats["density"],
        "max": stats["max_activation"],
        "counts": histogram.counts.tolist(),
        "edges": []
        if histogram is None
        else np.round(histogram.edges / max(histogram.edges[-1], 1e-9), 5).tolist(),
        "logits": [[(text(row.token), row.value) for row in side] for side in coder.logits(latent)],
        "near": [(near.latent, near.value) for near in coder.neighbours(latent, "decoder")],
        "explanations": sorted((each.id, each.text, each.explainer, each.model) for each in explanations),
    }


def contexts(store: Store, latent: int) -> dict[str, list[float]]:
    """Text and activations of each context that an export shows of a latent."""
    (info,) = store.coders()
    coder = store.coder(info.coder)
    acts = coder.activations(latent)
    lengths = store.text_lengths()
    found: dict[str, list[float]] = {}
    for shown in groups(store, coder, latent, acts):
        n = store.ctx_len if lengths is None else int(lengths[shown.context])
        row = np.zeros(n)
        first = shown.context * store.ctx_len
        inside = (acts.token >= first) & (acts.token < first + n)
        row[acts.token[inside] - first] = acts.activation[inside]
        found[json.dumps(store.decode(store.tokens[shown.context, :n]))] = row.tolist()
    return found


# Without shrinking: every example writes three stores.
@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
@given(cached())
def test_ours_to_theirs_to_ours_changes_nothing_that_their_format_can_hold(made: dict[str, Any]):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        first = make(root / "first", made)
        if not any(made["firings"].values()):
            return  # no context at all is no dashboard
        export(first, root / "out")
        second = bring_in(root / "out" / "toy" / "3-sae", root / "second")
        assert [info.coder for info in second.coders()] == ["3-sae"]
        assert second.coders()[0].hookpoint == "layers.3.mlp"
        for latent in range(made["n_latents"]):
            assert told(second, latent) == told(first, latent)
            assert contexts(second, latent) == contexts(first, latent)
        # And from there on nothing changes at all.
        export(second, root / "again")
        third = bring_in(root / "again" / "toy" / "3-sae", root / "third")
        assert np.array_equal(third.tokens, second.tokens)
        for latent in range(made["n_latents"]):
            assert told(third, latent) == told(second, latent)
            assert contexts(third, latent) == contexts(second, latent)


@pytest.fixture
def store(store_factory: StoreFactory) -> Store:
    rng = np.random.default_rng(0)
    pieces = [f" w{number}".encode() for number in range(20)]
    tokens = rng.integers(0, 20, (60, 8))
    firings = {
        0: [(token, float(np.float16(1 + token % 50))) for token in range(0, 480, 3)],
        7: [(5, 2.0)],
        1100: [(8, 1.0), (30, 0.5)],
    }
    coder = CoderSpec(
        firings,
        1101,
        hookpoint="layers.2.mlp",
        neighbours={"decoder": (np.full((1101, 1), 7), np.full((1101, 1), 0.5))},
    )
    return store_factory(tokens, coders={"sae": coder}, pieces=pieces)


def test_the_files_have_the_fields_and_the_order_of_theirs(store: Store, tmp_path: Path):
    with Annotations(store.path) as annotations:
        annotations.add(
            *(
                Explanation(coder="sae", latent=latent, text=f"of {latent}", explainer="pattern")
                for latent in (7, 1100, 0)
            )
        )
    summary = export(store, tmp_path / "out")
    source = next(path for path in (tmp_path / "out").glob("*/2-sae"))
    for kind, fields in FIELDS.items():
        assert {frozenset(row) for row in rows(source, kind)} == {frozenset(fields)}
    features = rows(source, "features")
    # By index as text, 1024 in a batch; activations by ranges of numbers.
    assert [row["index"] for row in features] == sorted(map(str, range(1101)))
    assert len(read(source / "features" / "batch-0.jsonl.gz")) == 1024
    assert {row["index"] for row in read(source / "activations" / "batch-1.jsonl.gz")} == {"1100"}
    assert [row["index"] for row in rows(source, "explanations")] == ["0", "1100", "7"]
    assert {row["layer"] for row in features} == {"2-sae"}
    by_index = {row["index"]: row for row in features}
    assert by_index["7"]["maxActApprox"] == 2.0
    assert by_index["7"]["frac_nonzero"] == 1 / 480
    assert by_index["7"]["topkCosSimIndices"] == [7, 7]
    for name in ("model", "release", "sourceset", "source"):
        assert len(read(source / f"{name}.jsonl")) == 1
    assert [row["name"] for row in read(tmp_path / "out" / "config" / "explanation_type.jsonl")] == [
        "autointerp_pattern"
    ]
    assert summary.taken["features"] == 1101


def test_contexts_are_chosen_as_saedashboard_chooses_them(store: Store, tmp_path: Path):
    export(store, tmp_path / "out", [0])
    shown = [
        row for row in rows(next((tmp_path / "out").glob("*/2-sae")), "activations") if row["index"] == "0"
    ]
    top = [row for row in shown if row["binMin"] == -1]
    assert len(top) == 20
    assert {(row["binContains"], row["binMax"]) for row in top} == {(-1, 50.0)}
    maxima = [row["maxValue"] for row in top]
    assert maxima == sorted(maxima, reverse=True)
    acts = store.coder("sae").activations(0).activation
    for low, high in ((40, 50), (30, 40), (20, 30), (10, 20), (0, 10)):
        band = [row for row in shown if row["binMin"] == low]
        assert len(band) == PER_INTERVAL
        n = int(((acts >= low) & (acts <= high)).sum()) + (0 if low else 480 - len(acts))
        assert {(row["binMax"], row["binContains"]) for row in band} == {(high, n / 480)}
        assert all(any(low <= value <= high for value in row["values"]) for row in band)


def test_scores_and_audits_are_in_files_of_their_own(store: Store, tmp_path: Path, run_json: RunJson):
    with Annotations(store.path) as annotations:
        of_cats = Explanation(coder="sae", latent=0, text="cats", explainer="pattern")
        failed = Explanation(
            coder="sae",
            latent=7,
            text="",
            explainer="default",
            status="failed",
            error="no answer",
            error_kind="server",
        )
        annotations.add(of_cats, failed)
        judged = (
            JudgedExample(0, 3, 0, 8, True, True, quantile=2),
            JudgedExample(1, 4, 0, 8, False, None, error="unread"),
        )
        annotations.add(
            Score(
                explanation_id=of_cats.id,
                scorer="detection",
                judge="offline",
                value=0.75,
                n_pos=1,
                unparsed=1,
                judged=judged,
            )
        )
    run_json("audit", "create", store.path, "sae", "--name", "By hand", "--n", 1)
    document = run_json("export", "neuronpedia", "--store", store.path, "--to", tmp_path / "out")
    assert document["taken"] == {
        "sources": 1,
        "features": 1101,
        "contexts": 50,
        "explanations": 1,
        "scores": 1,
        "audits": 1,
    } | {"contexts": document["taken"]["contexts"]}
    source = next((tmp_path / "out").glob("*/2-sae"))
    (score,) = rows(source, "scores")
    assert (score["index"], score["explanationId"], score["scorer"], score["value"]) == (
        "0",
        of_cats.id,
        "detection",
        0.75,
    )
    assert [(each["context"], each["truth"], each["answer"]) for each in score["judged"]] == [
        (3, True, True),
        (4, False, None),
    ]
    (audit,) = (source / "audits").glob("*.jsonl")
    records = [json.loads(line)["record"] for line in audit.read_text(encoding="utf-8").splitlines()]
    assert "item" in records
    # They are no part of what Neuronpedia imports, nor of what is imported here.
    again = bring_in(source, tmp_path / "again")
    with Annotations(again.path) as annotations:
        assert annotations.scores_of_latent("2-sae", 0) == []
        assert [each.text for each in annotations.explanations("2-sae", 0)] == ["cats"]


def test_what_is_there_is_not_overwritten_and_names_are_checked(
    store: Store, tmp_path: Path, run_error: RunError
):
    (tmp_path / "out").mkdir()
    arguments = ("export", "neuronpedia", "--store", store.path, "--to")
    assert "already exists" in run_error(*arguments, tmp_path / "out")
    assert "--model-id '../up'" in run_error(*arguments, tmp_path / "new", "--model-id", "../up")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "up").exists()
