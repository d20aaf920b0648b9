"""Correlation, Jaccard index and split latents against numpy.corrcoef and plain sets on dense matrices."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.compare import coactivation, products, results
from autointerp.compare.coactivation import Coactivation
from autointerp.errors import UnknownName, UserError
from autointerp.pipeline.resources import Resources
from autointerp.store import LatentBlock, Store
from autointerp.store.annotations import Annotations
from autointerp.store.coders.half import decode, encode_positive
from tests.conftest import CoderSpec, StoreFactory

N_TOKENS = 60


def dense(n: int, rng: np.random.Generator, density: float) -> np.ndarray:
    """Float64[n, N_TOKENS] of exact half-float values; latent 0 is dead, the last one fires everywhere."""
    values = decode(encode_positive(rng.uniform(0.1, 5, size=(n, N_TOKENS)).astype(np.float32), 1.0))
    values = values * (rng.random((n, N_TOKENS)) < density)
    values[0] = 0
    values[-1] = np.maximum(values[-1], 0.5)
    return values.astype(np.float64)


def as_block(values: np.ndarray, first: int = 0) -> products.Block:
    latent, token = np.nonzero(values)
    offsets = np.searchsorted(latent, np.arange(len(values) + 1))
    bits = encode_positive(values[latent, token].astype(np.float32), 1.0)
    rows = LatentBlock(first, offsets, token.astype(np.uint64), bits, 1.0)
    return products.block(rows, N_TOKENS, N_TOKENS)


def nearest(a: np.ndarray, b: np.ndarray, rows: int, columns: int) -> products.Nearest:
    """Of all pairs, in blocks of so many rows and columns."""
    found = products.Nearest.empty(len(a), len(b))
    for start in range(0, len(b), columns):
        right = products.by_token([as_block(b[start : start + columns], start)])
        assert list(found.take(as_block(a).pieces(rows), right))
    return found


def truth(a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    with np.errstate(all="ignore"):
        correlation = np.nan_to_num(np.corrcoef(a, b)[: len(a), len(a) :])
    sets = [[set(np.flatnonzero(row).tolist()) for row in side] for side in (a, b)]
    jaccard = np.array([[len(x & y) / max(len(x | y), 1) for y in sets[1]] for x in sets[0]])
    inside = np.array([[len(x & y) * (len(x & y) > 0.5 * len(y)) for y in sets[1]] for x in sets[0]])
    return {"correlation": correlation, "jaccard": jaccard, "parts": inside}


sizes = st.integers(2, 30)


@settings(max_examples=30)
@given(n=sizes, m=sizes, seed=st.integers(0, 99), rows=st.integers(1, 50), columns=st.integers(1, 50),
       groups=st.sampled_from([10, 12, 64]), density=st.sampled_from([0.05, 0.4]))  # fmt: skip
def test_nearest_latents_are_those_of_the_whole_matrix_however_it_is_cut(
    n: int, m: int, seed: int, rows: int, columns: int, groups: int, density: float
):
    rng = np.random.default_rng(seed)
    a, b = dense(n, rng, density), dense(m, rng, density)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "N_GROUPS", groups)
        found = nearest(a, b, rows, columns)
    for measure, values in truth(a, b).items():
        for side, whole in enumerate((values, values.T if measure != "parts" else truth(b, a)["parts"])):
            entries = found.best[side][measure].entries
            top = np.sort(np.maximum(whole, 0), axis=1)[:, ::-1][:, : products.N_NEAREST]
            top = np.pad(top, ((0, 0), (0, products.N_NEAREST - top.shape[1])))
            np.testing.assert_allclose(entries["value"], np.where(top > 3e-5, top, 0), atol=3e-5)
            for i, j in zip(*np.nonzero(entries["latent"] >= 0), strict=True):
                other = entries["latent"][i, j]
                x, y = (a[i], b[other]) if side == 0 else (b[i], a[other])
                assert entries["both"][i, j] == ((x > 0) & (y > 0)).sum()
                with np.errstate(all="ignore"):
                    exact = np.nan_to_num(np.corrcoef(x, y)[0, 1])
                assert entries["correlation"][i, j] == pytest.approx(exact, abs=3e-5)
            assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in entries["latent"])


def test_equals_come_by_number_however_the_work_is_cut():
    a = np.zeros((30, N_TOKENS))
    a[:, :4] = 1.0
    wholes = [nearest(a, a, rows, columns) for rows, columns in ((30, 30), (7, 30), (4, 11), (1, 1))]
    for found in wholes:
        for side in (0, 1):
            assert (found.best[side]["jaccard"].entries["latent"] == np.arange(10)).all()


@pytest.fixture
def store(store_factory: StoreFactory) -> Store:
    """`whole` 0 fires on tokens 0 to 29; of `pieces` 0, 1 and 2 on ten of them each, 3 on all tokens, 4 never, 5 on 5 of the
    first ten and on five others."""
    tokens = np.ones((4, 16), dtype=np.int64)
    fires = {i: [(t, 1.0 + t % 3) for t in range(10 * i, 10 * i + 10)] for i in range(3)}
    fires |= {3: [(t, 1.0) for t in range(64)], 5: [(t, 1.0) for t in (*range(5), *range(40, 45))]}
    return store_factory(
        tokens,
        {
            "pieces": CoderSpec(fires, 6),
            "whole": CoderSpec({0: [(t, 2.0 + t % 3) for t in range(30)], 1: [(50, 1.0)]}, 3),
        },
    )


@pytest.fixture
def resources(store: Store) -> Iterator[Resources]:
    with Annotations(store.path) as annotations:
        yield Resources(store, annotations)


def obtained(resources: Resources, **parameters: int) -> Coactivation:
    coders = coactivation.pair(resources.store, "whole", "pieces")
    return coactivation.read(results.obtain(resources, "coactivation", coders, parameters), coders)


@pytest.mark.parametrize("panel", [1, 12, 10**6])
def test_of_a_store(resources: Resources, panel: int):
    found = obtained(resources, panel=panel)
    assert found.coders == ("pieces", "whole")
    assert found.n_tokens == 64
    partners = found.partners("whole", 0, "jaccard")
    assert [partner.latent for partner in partners] == [3, 0, 1, 2, 5]
    assert partners[0].jaccard == pytest.approx(30 / 64)
    assert partners[1] == (0, pytest.approx(partners[1].correlation), 1 / 3, 1.0, 1 / 3, 10)
    assert found.partners("pieces", 0)[0].latent == 0
    assert found.partners("pieces", 4) == []  # dead
    assert found.partners("whole", 2, "parts") == []
    assert 3 not in [partner.latent for partner in found.partners("whole", 0)]  # always the same


def test_a_latent_is_split_where_several_share_out_its_tokens(resources: Resources):
    found = obtained(resources)
    (split,) = found.split("whole")
    assert split.latent == 0
    assert [part.latent for part in split.parts] == [0, 1, 2]
    assert split.covered == 1.0
    assert found.split("pieces") == []


def test_the_parts_of_a_split_latent_count_their_common_tokens_once(store_factory: StoreFactory):
    tokens = np.ones((4, 16), dtype=np.int64)
    same = {i: [(t, 1.0) for t in range(9)] for i in range(3)}  # 3 times 9 of 20 tokens, all the same nine
    store = store_factory(
        tokens,
        {"a": CoderSpec({0: [(t, 1.0 + t % 2) for t in range(20)]}, 1), "b": CoderSpec(same, 3)},
    )
    with Annotations(store.path) as annotations:
        resources = Resources(store, annotations)
        coders = ("a", "b")
        found = coactivation.read(results.obtain(resources, "coactivation", coders), coders)
    assert found.sides[0].covered[0] == pytest.approx(9 / 20)
    assert found.split("a") == []


def test_what_is_computed_is_kept_and_read_again(resources: Resources, monkeypatch: pytest.MonkeyPatch):
    before = obtained(resources)
    monkeypatch.setattr(coactivation, "compute", lambda *_: pytest.fail("computed again"))
    with Annotations(resources.store.path) as annotations:
        again = obtained(Resources(Store.open(resources.store.path), annotations))
    assert again.partners("whole", 0) == before.partners("whole", 0)
    assert again.split("whole") == before.split("whole")


def counted(
    resources: Resources, masked: dict[str, list[int]], n_tokens: dict[str, int]
) -> coactivation.Counted:
    """As if the two coders had been cached without these ids."""
    from dataclasses import replace

    infos = {info.coder: info for info in resources.store.coders()}
    described = [
        replace(infos[name], n_tokens=n_tokens[name], config={"masked_ids": ids})
        for name, ids in masked.items()
    ]
    return coactivation.Counted.by(resources.store, *described)


def test_tokens_that_only_one_coder_counts_are_left_out(store_factory: StoreFactory, tmp_path: Path):
    tokens = np.ones((4, 16), dtype=np.int64)
    tokens[:, 0] = 0
    store = store_factory(tokens, {name: CoderSpec({0: [(t, 1.0) for t in range(20)]}, 1) for name in "ab"})
    with Annotations(store.path) as annotations:
        resources = Resources(store, annotations)
        same = counted(resources, {"a": [0], "b": [0]}, {"a": 60, "b": 60})
        assert same.n == 60
        assert same.masked is None
        other = counted(resources, {"a": [0], "b": []}, {"a": 60, "b": 64})
        assert other.n == 60
        assert other.only_of(store.coder("b").activations(0)).token.tolist() == [
            t for t in range(20) if t % 16
        ]
        (block,) = other.blocks(store.coder("b"), 0, 1)
        assert block.counts.tolist() == [18]
        with pytest.raises(UserError, match="does not say which"):
            counted(resources, {"a": [0], "b": []}, {"a": 60, "b": 63})


def test_a_coder_with_itself_or_an_unknown_one_is_refused(store: Store):
    with pytest.raises(UserError, match="cannot be compared with itself"):
        coactivation.pair(store, "whole", "whole")
    with pytest.raises(UnknownName):
        coactivation.pair(store, "whole", "wholes")
    assert coactivation.pairs(store) == [("pieces", "whole")]
