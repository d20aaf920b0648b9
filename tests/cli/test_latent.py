"""`autointerp latent`."""

import numpy as np
import pytest

from autointerp.ratings import Audit, AuditItem, Rating, Stratum
from autointerp.records import Explanation
from autointerp.store import STATISTICS, Statistic, Store
from autointerp.store.annotations import Annotations
from tests.cli.conftest import RunError, RunJson, RunText
from tests.conftest import CoderSpec, StoreFactory, write_coder

GROUPS = {"top", "random", "quantiles", "non_activating"}
FIELDS = {"context", "start", "token_ids", "activations", "max_activation", "quantile"}


def dense(store: Store, coder: str, latent: int) -> np.ndarray:
    """All activations of a latent on the corpus grid."""
    grid = np.zeros(store.n_contexts * store.ctx_len, dtype=np.float32)
    acts = store.coder(coder).activations(latent)
    grid[acts.token] = acts.activation
    return grid.reshape(store.n_contexts, store.ctx_len)


def test_the_contract_of_the_document(tiny_store: Store, run_json: RunJson):
    document = run_json("latent", tiny_store.path, "sae", 4)
    assert {"coder", "latent", "density", "n_activations", "max_activation", "examples"} <= set(document)
    assert (document["coder"], document["latent"], document["n_activations"]) == ("sae", 4, 200)
    assert set(document["examples"]) == GROUPS
    for examples in document["examples"].values():
        assert examples
        assert all(set(example) >= FIELDS and len(example["token_ids"]) == 32 for example in examples)


def test_windows_hold_what_the_store_holds(tiny_store: Store, run_json: RunJson):
    grid = dense(tiny_store, "sae", 4)
    for name, examples in run_json("latent", tiny_store.path, "sae", 4)["examples"].items():
        for example in examples:
            where = example["context"], slice(example["start"], example["start"] + 32)
            assert example["token_ids"] == tiny_store.tokens[where].tolist()
            assert example["activations"] == grid[where].tolist()
            assert example["max_activation"] == max(example["activations"])
            assert (example["max_activation"] == 0) == (name == "non_activating")


@pytest.mark.parametrize(("window", "n"), [(32, 20), (16, 7), (0, 50)])
def test_top_is_every_window_in_falling_order_ties_by_position(
    window: int, n: int, tiny_store: Store, run_json: RunJson
):
    document = run_json("latent", tiny_store.path, "sae", 0, "--window", window, "--n", n)
    size = window or tiny_store.ctx_len
    maxima = dense(tiny_store, "sae", 0).reshape(tiny_store.n_contexts, -1, size).max(2)
    ranked = sorted(
        ((-m, c, s * size) for (c, s), m in np.ndenumerate(maxima) if m > 0), key=lambda row: row
    )[:n]
    found = [(-e["max_activation"], e["context"], e["start"]) for e in document["examples"]["top"]]
    assert found == [(float(m), c, s) for m, c, s in ranked]


def test_quantiles_run_from_the_strongest(tiny_store: Store, run_json: RunJson):
    examples = run_json("latent", tiny_store.path, "sae", 4)["examples"]["quantiles"]
    quantiles = [example["quantile"] for example in examples]
    assert quantiles == sorted(quantiles)
    assert (quantiles[0], quantiles[-1]) == (0, 9)


def test_the_same_seed_draws_the_same(tiny_store: Store, run_json: RunJson):
    first, again, other = (
        run_json("latent", tiny_store.path, "sae", 4, "--n", 5, "--seed", seed)["examples"]["random"]
        for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_distinct_shows_a_repeated_context_once(tiny_store: Store, run_json: RunJson):
    contexts = [
        {
            e["context"]
            for e in run_json("latent", tiny_store.path, "sae", 1, "--n", 100, *flags)["examples"]["top"]
        }
        for flags in ([], ["--distinct"])
    ]
    assert {0, 1} <= contexts[0]
    assert not {0, 1} <= contexts[1]


def test_a_dead_latent(tiny_store: Store, run_json: RunJson, run_text: RunText):
    document = run_json("latent", tiny_store.path, "sae", 5)
    assert (document["n_activations"], document["density"], document["max_activation"]) == (0, 0, 0)
    assert document["examples"]["top"] == []
    assert "dead" in run_text("latent", tiny_store.path, "sae", 5)[1]


def test_the_text_marks_the_peak(tiny_store: Store, run_text: RunText):
    code, out, err = run_text("latent", tiny_store.path, "sae", 0, "--n", 3)
    assert (code, err) == (0, "")
    assert "«<script>alert(1)</script>»" in out
    assert "\u202e" not in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["saee", "1"], "sae"),
        (["sae", "8"], "7"),
        (["sae", "-1"], "0"),
        (["sae", "x"], "latent"),
        (["sae", "1", "--window", "65"], "64"),
        (["sae", "1", "--n", "0"], "--n"),
        (["sae", "1", "--seed", "-1"], "--seed"),
        (["sae", "1", "--nearest-in", "sae"], "itself"),
        (["sae", "1", "--nearest-in", "transcode"], "transcoder"),
    ],
)
def test_wrong_input_is_2_and_says_what_is_right(
    argv: list[str], message: str, tiny_store: Store, run_text: RunText
):
    code, out, err = run_text("latent", tiny_store.path, *argv)
    assert (code, out) == (2, "")
    assert message in err


def test_a_new_statistic_is_in_the_document_and_the_text(
    tiny_store: Store, run_json: RunJson, run_text: RunText, monkeypatch: pytest.MonkeyPatch
):
    least = Statistic(
        "least", "Smallest activation", "", "activation", unit="units",
        compute=lambda block, grid: np.minimum.reduceat(block.activation, block.offsets[:-1]),
    )  # fmt: skip
    monkeypatch.setitem(STATISTICS, least.name, least)
    value = float(tiny_store.coder("sae").activations(4).activation.min())
    assert run_json("latent", tiny_store.path, "sae", 4)["least"] == value
    assert f"smallest activation: {value:.4g} units" in run_text("latent", tiny_store.path, "sae", 4)[1]
    assert set(STATISTICS) <= set(run_json("latent", tiny_store.path, "sae", 5))


def test_a_firing_on_a_later_byte_marks_its_character(store_factory: StoreFactory, run_text: RunText):
    """Token 2 is the second half of an emoji, and the latent fires on it alone."""
    tokens = np.array([[0, 1, 2, 0] * 4] * 4)
    firings = {0: [(int(token), 1.0 + token) for token in np.flatnonzero(tokens.ravel() == 2)]}
    pieces = [b"a", b"\xf0\x9f", b"\x98\x80"]
    store = store_factory(tokens, {"sae": CoderSpec(firings, n_latents=1)}, pieces=pieces)
    _, out, _ = run_text("latent", store.path, "sae", 0, "--window", 16)
    assert "\u00ab\U0001f600\u00bb" in out
    assert "\u00ab\u00bb" not in out


def test_the_nearest_latents_of_another_coder(tiny_store: Store, run_json: RunJson, run_text: RunText):
    acts = tiny_store.coder("sae").activations(4)
    same = list(zip(acts.token.tolist(), acts.activation.tolist(), strict=True))
    write_coder(tiny_store, "twin", CoderSpec({2: same, 0: [(5, 1.0)]}, 3))
    argv = (tiny_store.path, "sae", "4", "--nearest-in", "twin", "transcoder")
    found = run_json("latent", *argv)["counterparts"]
    assert set(found) == {"twin", "transcoder"}
    top = found["twin"]["correlation"][0]
    assert (top["latent"], top["jaccard"], top["n_both"]) == (2, 1.0, 200)
    assert top["correlation"] == pytest.approx(1)
    assert "decoder" not in found["twin"], "their directions were never matched"
    _, out, _ = run_text("latent", *argv)
    assert "nearest in twin by correlation\n   1.000  latent 2" in out


def test_what_people_said_of_its_explanations(tiny_store: Store, run_json: RunJson, run_text: RunText):
    made = Explanation(coder="sae", latent=3, text="words", explainer="pattern")
    audit = Audit(
        name="first", author="ada", tasks=("verdict",), seed=0, strata=(Stratum(0, "sae", None, None, 1, 1),),
        items=(AuditItem(0, "sae", 3, made.id, made.id, made.text, 0),),
    )  # fmt: skip
    with Annotations(tiny_store.path) as annotations:
        annotations.add(made)
        annotations.audits.create(audit)
        rating = Rating(
            audit_id=audit.id, item=0, rater="ada", task="verdict", verdict="too_broad", note="also cats"
        )
        annotations.audits.rate(rating)
    (said,) = run_json("latent", tiny_store.path, "sae", "3")["verdicts"]
    assert (said["audit"], said["explanation"], said["verdict"]) == (audit.id, made.id, "too_broad")
    assert "verdict Too broad by ada" in run_text("latent", tiny_store.path, "sae", "3")[1]
    assert run_json("info", tiny_store.path)["audits"] == [
        {"id": audit.id, "name": "first", "n_items": 1, "raters": ["ada"]}
    ]
    assert "Audits: first (items: 1, raters: 1)" in run_text("info", tiny_store.path)[1]


@pytest.mark.parametrize("n", [0, -1, 10**9])
def test_a_number_of_examples_is_bounded(n: int, tiny_store: Store, run_error: RunError):
    assert "from 1 to 10,000" in run_error("latent", tiny_store.path, "sae", 3, "--n", n)
