"""Reading a store: coders, lists, previews, search."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp.errors import UnknownName, UserError
from autointerp.store import LatentQuery, Spots, Store, list_latents, preview_examples
from tests.conftest import HOSTILE_PIECES, CoderSpec, StoreFactory


def test_coders_in_natural_order(store_factory: StoreFactory) -> None:
    spec = CoderSpec({0: [(1, 1.0)]}, n_latents=1)
    store = store_factory(np.zeros((2, 4), dtype=int), {"layers.10": spec, "layers.2": spec, "a": spec})
    assert [info.coder for info in store.coders()] == ["a", "layers.2", "layers.10"]
    assert store.problems() == []


def test_info_carries_what_was_written(tiny_store: Store) -> None:
    sae, transcoder = tiny_store.coders()
    assert (sae.kind, sae.n_latents, sae.k, sae.has_logits, sae.n_dead) == ("sae", 8, 4, True, 1)
    assert sae.fidelity is not None
    assert sae.fidelity.ce_increase == 0.25
    assert (transcoder.has_logits, transcoder.fidelity, transcoder.n_dead) == (False, None, 1)
    assert sae.bytes_on_disk == tiny_store.layout.coder("sae").stat().st_size
    assert tiny_store.coder("transcoder").logits(1) == ([], [])
    assert tiny_store.coder("transcoder").neighbours(1, "decoder") == []
    promoted, suppressed = tiny_store.coder("sae").logits(3)
    assert len(promoted) == len(suppressed) == 10
    assert [logit.value for logit in promoted] == sorted((logit.value for logit in promoted), reverse=True)
    assert all(logit.value < 0 for logit in suppressed)
    assert len(tiny_store.coder("sae").neighbours(3, "encoder", limit=2)) == 2
    assert tiny_store.coder("sae").neighbours(5, "cofiring") == []


@pytest.mark.parametrize("latent", [-1, 8, "8", "x", "", None, 1.5, True, "\u0663", "9" * 30])
def test_unknown_latents_name_the_nearest(tiny_store: Store, latent: object) -> None:
    with pytest.raises(UnknownName, match="0 to 7"):
        tiny_store.coder("sae").check_latent(latent)


def test_latents_as_strings_and_numpy_integers(tiny_store: Store) -> None:
    coder = tiny_store.coder("sae")
    assert coder.check_latent(" 7 ") == coder.check_latent(np.int32(7)) == 7


def test_unknown_coder_names_the_nearest(tiny_store: Store) -> None:
    with pytest.raises(UnknownName, match=r"Nearest: transcoder"):
        tiny_store.coder("transcodr")


def test_walking_over_live_latents(tiny_store: Store) -> None:
    coder = tiny_store.coder("sae")
    assert [coder.next_live(4), coder.next_live(7), coder.next_live(6, -1), coder.next_live(0, -1)] == [
        6,
        0,
        4,
        7,
    ]
    rng = np.random.default_rng(0)
    assert {coder.random_live(rng) for _ in range(100)} == {0, 1, 2, 3, 4, 6, 7}


@pytest.mark.parametrize("per_decade", [1, 10])
def test_density_bins_of_all_coders_lie_on_one_grid(store_factory: StoreFactory, per_decade: int) -> None:
    ids = np.zeros((10, 100), dtype=int)
    dense = {latent: [(token, 1.0) for token in range(n)] for latent, n in enumerate([1, 10, 99, 100, 1000])}
    coders = {"wide": CoderSpec(dense, n_latents=5), "narrow": CoderSpec({0: dense[2]}, n_latents=2)}
    store = store_factory(ids, coders)
    for name in coders:
        edges, counts = store.coder(name).density_histogram(per_decade)
        assert edges * per_decade == pytest.approx(np.round(edges * per_decade))
        density = [firings / 1000 for firings in (len(tokens) for tokens in coders[name].firings.values())]
        plain = [
            sum(10.0**low <= value * (1 + 1e-9) and value * (1 + 1e-9) < 10.0**high for value in density)
            for low, high in itertools.pairwise(edges)
        ]
        assert counts.tolist() == plain
        assert counts.sum() == len(density)


def test_a_coder_without_any_firing(store_factory: StoreFactory) -> None:
    store = store_factory(np.zeros((2, 4), dtype=int), {"dead": CoderSpec({}, n_latents=3)})
    coder = store.coder("dead")
    assert coder.info.n_dead == 3
    assert coder.next_live(1) == 1
    assert coder.random_live(np.random.default_rng(0)) == 0
    assert coder.density_histogram(5)[1].sum() == 0
    assert list_latents(store).rows == []
    assert list_latents(store, query=LatentQuery(dead="only")).total == 3
    assert preview_examples(store, list_latents(store, query=LatentQuery(dead="only")).rows) == [None] * 3


FIELDS = [
    "latent",
    "n_activations",
    "density",
    "max_activation",
    "mean_activation",
    "top_token_share",
    "token_entropy",
    "positional",
]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_lists_agree_with_plain_python(tiny_store: Store, data: st.DataObject) -> None:
    names = data.draw(st.sampled_from([None, ["sae"], ["transcoder", "sae"]]))
    sort = data.draw(st.sampled_from(FIELDS))
    descending, include_dead = data.draw(st.booleans()), data.draw(st.booleans())
    limits = st.none() | st.floats(0, 8) | st.floats(0, 0.1)
    bounds = data.draw(
        st.dictionaries(st.sampled_from(FIELDS[1:]), st.tuples(limits, limits), max_size=2), label="bounds"
    )
    limit, offset = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 15))
    query = LatentQuery(
        sort=sort, descending=descending, dead="show" if include_dead else "hide", limit=limit, offset=offset,
        bounds=bounds,
    )  # fmt: skip
    page = list_latents(tiny_store, names, query)

    every = []
    for index, name in enumerate(names or ["sae", "transcoder"]):
        coder = tiny_store.coder(name)
        every += [(index, name, coder.all_stats(latent)) for latent in range(coder.info.n_latents)]
    kept = [row for row in every if include_dead or not row[2].is_dead]
    kept = [row for row in kept if all(inside(row[2][name], *bound) for name, bound in bounds.items())]

    def key(row):
        value = row[2].latent if sort == "latent" else row[2][sort]
        missing = value is None
        return missing, 0 if missing else (-value if descending else value), row[0], row[2].latent

    kept.sort(key=key)
    assert page.total == len(kept)
    assert page.n_dead == sum(row[2].is_dead for row in every)
    expected = kept[offset : offset + limit]
    assert [(row.coder, row.stats.latent) for row in page.rows] == [
        (row[1], row[2].latent) for row in expected
    ]
    for row, (_, _, stats) in zip(page.rows, expected, strict=True):
        assert row.stats.values.items() <= stats.values.items()


def inside(value: float | None, least: float | None, largest: float | None) -> bool:
    if value is None:
        return least is None and largest is None
    return (least is None or value >= least) and (largest is None or value <= largest)


def test_latents_that_fire_in_given_contexts(tiny_store: Store) -> None:
    page = list_latents(
        tiny_store,
        query=LatentQuery(spots=Spots.contexts([1, 5], 64), sort="latent", descending=False, limit=99),
    )
    expected = set()
    for name in ("sae", "transcoder"):
        coder = tiny_store.coder(name)
        for latent in range(coder.info.n_latents):
            if set((coder.activations(latent).token // 64).tolist()) & {1, 5}:
                expected.add((name, latent))
    assert {(row.coder, row.stats.latent) for row in page.rows} == expected
    assert list_latents(tiny_store, query=LatentQuery(spots=Spots.contexts([], 64))).total == 0


def test_an_unknown_sort_is_refused(tiny_store: Store) -> None:
    with pytest.raises(UserError, match="unknown order"):
        list_latents(tiny_store, query=LatentQuery(sort="1; DROP TABLE x"))


@pytest.mark.parametrize("window", [1, 7, 24, 64])
def test_previews_show_the_peak_as_stored(tiny_store: Store, window: int) -> None:
    rows = list_latents(tiny_store, query=LatentQuery(dead="show", limit=99)).rows
    for row, found in zip(rows, preview_examples(tiny_store, rows, window=window), strict=True):
        if row.stats.is_dead:
            assert found is None
            continue
        assert found is not None
        acts = tiny_store.coder(row.coder).activations(row.stats.latent)
        base = found.context * 64 + found.start
        expected = np.zeros(len(found.token_ids), dtype=np.float32)
        inside = (acts.token >= base) & (acts.token < base + len(expected))
        expected[acts.token[inside] - base] = acts.activation[inside]
        assert np.array_equal(found.activations, expected)
        assert (
            found.activations[row.stats["peak_token"] - base]
            == row.stats.max_activation
            == found.max_activation
        )
        assert np.array_equal(
            found.token_ids, tiny_store.tokens[found.context, found.start :][: len(expected)]
        )
        assert found.start + len(expected) <= 64


def test_document_names(tiny_store: Store) -> None:
    names = tiny_store.sql(
        "SELECT context, name FROM contexts JOIN documents USING (document) ORDER BY context"
    )
    assert names["name"].to_pylist()[2:4] == ["doc <b>one</b>", "doc two"]


def test_corpus_without_documents(store_factory: StoreFactory) -> None:
    store = store_factory(np.zeros((2, 4), dtype=int))
    assert store.sql("SELECT count(*) AS n FROM contexts WHERE document IS NULL")["n"].to_pylist() == [2]
    assert store.meta["corpus"]["n_documents"] == 0


def test_context_text_is_the_joined_display_text(tiny_store: Store) -> None:
    for hit in tiny_store.search_contexts("(?s).*", regex=True, limit=100).hits:
        row = tiny_store.tokens[hit.context]
        assert hit.text == "".join(tiny_store.decode(row)) == tiny_store.context_text(hit.context)
        assert "\U0001f600" in hit.text


@pytest.mark.parametrize("piece", [piece.decode("utf-8", "replace") for piece in HOSTILE_PIECES if piece])
@pytest.mark.parametrize("upper", [False, True])
def test_literal_search_finds_hostile_text(tiny_store: Store, piece: str, upper: bool) -> None:
    pattern = piece.upper() if upper else piece
    texts = [tiny_store.context_text(context) for context in range(24)]
    expected = [context for context, text in enumerate(texts) if piece.casefold() in text.casefold()]
    found = tiny_store.search_contexts(pattern, limit=100)
    assert [hit.context for hit in found.hits] == expected
    assert found.total == len(expected)
    for hit in found.hits:
        assert hit.text[hit.char_start : hit.char_end].casefold() == piece.casefold()
        assert hit.char_start == hit.text.casefold().find(piece.casefold())


@pytest.mark.parametrize("pattern", [r"\bcat\b", r"(the|cat) +", r"^<", r"[\x00]b", r"\d", r"(?i)SCRIPT"])
def test_regular_expressions_agree_with_python(tiny_store: Store, pattern: str) -> None:
    # RE2 knows only ASCII word characters for \b and \d.
    found = tiny_store.search_contexts(pattern, regex=True, limit=100)
    expected = [
        (context, match.start(), match.end())
        for context in range(24)
        if (match := re.search(pattern, tiny_store.context_text(context), re.ASCII))
    ]
    assert [(hit.context, hit.char_start, hit.char_end) for hit in found.hits] == expected


def test_a_search_is_cut_off_but_counted(tiny_store: Store) -> None:
    every = tiny_store.search_contexts("script", limit=100)
    some = tiny_store.search_contexts("script", limit=5)
    assert some.hits == every.hits[:5]
    assert some.total == every.total > 5


@pytest.mark.parametrize("pattern", ["(", "[", "(?=x)", "a" * 1001, "(?P<", "x{9999}"])
def test_bad_expressions_are_user_errors(tiny_store: Store, pattern: str) -> None:
    with pytest.raises(UserError):
        tiny_store.search_contexts(pattern, regex=True)


def test_empty_search_is_refused(tiny_store: Store) -> None:
    with pytest.raises(UserError, match="empty"):
        tiny_store.search_contexts("")


def test_what_fires_between_two_tokens(tiny_store: Store):
    coder = tiny_store.coder("sae")
    token, latent, activation = coder.fired_between(60, 200)
    truth = sorted(
        (int(t), each, float(a))
        for each in range(coder.info.n_latents)
        for t, a in zip(*vars(coder.activations(each)).values(), strict=True)
        if 60 <= t < 200
    )
    assert list(zip(token.tolist(), latent.tolist(), activation.tolist(), strict=True)) == truth


def test_blocks_hold_every_activation_once(tiny_store: Store):
    coder = tiny_store.coder("sae")
    for most, first, stop in ((1, 0, None), (100, 0, None), (10**6, 2, 5)):
        seen = []
        for block in coder.blocks(most, first=first, stop=stop):
            for place in range(block.n_latents):
                rows = slice(int(block.offsets[place]), int(block.offsets[place + 1]))
                acts = coder.activations(block.first + place)
                assert block.token[rows].tolist() == acts.token.tolist()
                assert block.activation[rows].tolist() == acts.activation.tolist()
                seen.append(block.first + place)
        assert seen == list(range(first, stop or coder.info.n_latents))
