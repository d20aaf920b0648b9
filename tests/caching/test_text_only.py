"""What is cached is text: not padding, not what joins documents; and text that names a special token stays text."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.caching import cache
from autointerp.caching.tokenize import Packer, with_row_starts
from autointerp.errors import CorpusError, StoreError
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.probe import Prober
from autointerp.store import Store
from tests.caching.plain import dense_from_store
from tests.models import zoo
from tests.models.tiny import TEXT, save_tokenizer

CODERS = {"r": "random:layers.1:24:4"}


def save_with(folder: Path, **special: str | None) -> Path:
    """A Llama whose tokenizer has these special tokens (`None`: has none of the role)."""
    zoo.save("Llama", folder)
    save_tokenizer(folder, bos="<s>")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({f"{role}_token": token for role, token in special.items() if token})
    for role, token in special.items():
        if token is None:
            setattr(tokenizer, f"{role}_token", None)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def instruct(tmp_path_factory: pytest.TempPathFactory) -> SubjectModel:
    """Like an instruct model of Qwen2: no BOS, an EOS that is not the BOS of the configuration, padding of its own."""
    folder = save_with(tmp_path_factory.mktemp("m"), bos=None, eos="<|im_end|>", pad="<|pad|>")
    return load_subject(str(folder))


def test_what_joins_documents_is_masked_by_its_role(instruct: SubjectModel, tmp_path: Path) -> None:
    eos, pad = instruct.tokenizer.eos_token_id, instruct.tokenizer.pad_token_id
    assert instruct.tokenizer.bos_token_id is None
    assert instruct.bos_token_id != eos
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text(TEXT)
    texts = [tmp_path / f"{number}.txt" for number in range(8)]
    [info] = cache(tmp_path / "s", model=instruct, coders=CODERS, text=texts, ctx_len=16)
    store = Store.open(tmp_path / "s")
    joins = store.tokens.ravel() == eos
    assert joins.sum() == 8
    assert not dense_from_store(store, "r")[joins].any()
    assert info.n_tokens == store.tokens.size - 8
    assert set(info.config["masked_ids"]) == {eos, pad, instruct.bos_token_id}
    found = Prober(store).run_ids(store.tokens[:6].ravel()).coders["r"]
    assert found.masked.tolist() == joins[: 6 * 16].tolist()


def test_padding_is_no_text(instruct: SubjectModel, tmp_path: Path) -> None:
    pad = instruct.tokenizer.pad_token_id
    ids = np.random.default_rng(0).integers(5, 200, (8, 16))
    ids[:, 12:] = pad
    for keep in (True, False):
        [info] = cache(tmp_path / f"s{keep}", model=instruct, coders=CODERS, token_ids=ids, skip_bos=not keep)
        store = Store.open(tmp_path / f"s{keep}")
        assert info.n_tokens == 8 * 12
        assert info.fidelity is not None
        assert info.fidelity.n_tokens == 8 * 12
        assert not dense_from_store(store, "r")[store.tokens.ravel() == pad].any()


@pytest.mark.parametrize("architecture", ["GPT-2", "BERT", "Llama"])
def test_padding_is_hidden_from_the_text(architecture: str, tmp_path: Path) -> None:
    """Wherever it stands; what follows is as if there were none, also in fidelity, promoted tokens and a probe."""
    subject = load_subject(str(zoo.save(architecture, tmp_path / "m")))
    save_tokenizer(tmp_path / "t")
    subject.tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "t", pad_token="!")
    pad = subject.tokenizer.pad_token_id
    rows = np.random.default_rng(0).integers(40, 200, (8, 12))
    coders = {"r": f"random:{zoo.ARCHITECTURES[architecture].block}:24:4"}
    stores, infos = [], []
    for name, before, after in (("alone", 0, 0), ("left", 4, 0), ("right", 0, 4), ("both", 1, 3)):
        ids = np.pad(rows, ((0, 0), (before, after)), constant_values=pad)
        infos += cache(tmp_path / name, model=subject, coders=coders, token_ids=ids)
        stores.append(Store.open(tmp_path / name))
        acts = dense_from_store(stores[-1], "r").reshape(8, -1, 24)[:, before : before + 12]
        wanted = dense_from_store(stores[0], "r").reshape(8, 12, 24)
        np.testing.assert_allclose(acts, wanted, rtol=2e-3, atol=1e-4)
        fidelity, alone = infos[-1].fidelity, infos[0].fidelity
        assert fidelity is not None
        assert alone is not None
        assert fidelity.fvu == pytest.approx(alone.fvu, rel=1e-4)
        if architecture != "BERT":
            assert fidelity.ce_clean == pytest.approx(alone.ce_clean, rel=1e-3)
            assert fidelity.ce_increase == pytest.approx(alone.ce_increase, rel=1e-3)
        assert infos[-1].has_logits == infos[0].has_logits


def test_padding_that_cannot_be_hidden_is_refused(tmp_path: Path) -> None:
    subject = load_subject(str(zoo.save("RWKV", tmp_path / "m")))
    save_tokenizer(tmp_path / "t")
    subject.tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "t", pad_token="!")
    ids = np.pad(np.full((4, 12), 40), ((0, 0), (4, 0)), constant_values=subject.tokenizer.pad_token_id)
    with pytest.raises(CorpusError, match="before the text of a row"):
        cache(tmp_path / "s", model=subject, coders={"r": "random:blocks.1:24:4"}, token_ids=ids)
    assert not list((tmp_path / "s" / "coders").glob("*"))
    cache(tmp_path / "s2", model=subject, coders={"r": "random:blocks.1:24:4"}, token_ids=ids[:, ::-1].copy())


@pytest.mark.parametrize("name", ["<s>", "<|endoftext|>", "a </s> b <s>"])
def test_names_of_special_tokens_in_a_text_are_text(name: str, tmp_path: Path) -> None:
    subject = load_subject(str(save_with(tmp_path / "m", eos="</s>")))
    text = f"Before {name} after. " * 30
    cache(tmp_path / "s", model=subject, coders=CODERS, documents=[("d", text)], ctx_len=16)
    store = Store.open(tmp_path / "s")
    flat = store.tokens.ravel()
    assert flat[0] == subject.tokenizer.bos_token_id
    assert not np.isin(flat[1:], subject.tokenizer.all_special_ids).any()
    assert text.startswith(store.vocabulary().decode_text(flat[1:]))
    probed = Prober(store).run(text[:60])
    assert probed.token_ids.tolist() == flat[: len(probed.token_ids)].tolist()


def test_bos_before_every_row(tmp_path: Path) -> None:
    subject = load_subject(str(save_with(tmp_path / "m", eos="</s>")))
    documents = [("a", TEXT * 2), ("b", TEXT)]
    cache(tmp_path / "s", model=subject, coders=CODERS, documents=documents, ctx_len=16, bos_every_row=True)
    store = Store.open(tmp_path / "s")
    assert (store.tokens[:, 0] == 1).all()
    assert not (store.tokens[:, 1] == 1).any()
    text = store.vocabulary().decode_text(store.tokens[store.tokens != 1])
    assert (TEXT * 3).startswith(text.rstrip("\ufffd"))
    assert not dense_from_store(store, "r")[store.tokens.ravel() == 1].any()
    # The probe reads a text as caching reads a document.
    result = Prober(store).run(TEXT * 2)
    n = len(result.token_ids) // 16 * 16
    assert result.token_ids[:n].tolist() == store.tokens.ravel()[:n].tolist()
    with pytest.raises(StoreError, match="with BOS before every row"):
        cache(tmp_path / "s", model=subject, coders=CODERS, bos_every_row=False)


def test_documents_that_are_not_joined(tmp_path: Path) -> None:
    subject = load_subject(str(save_with(tmp_path / "m", eos="</s>")))
    documents = [("long", TEXT * 2), ("short", "ab"), ("other", TEXT)]
    cache(tmp_path / "s", model=subject, coders=CODERS, documents=documents, ctx_len=16, join=False)
    store = Store.open(tmp_path / "s")
    starts = np.flatnonzero(store.tokens[:, 0] == 1)
    assert len(starts) == 2
    assert (store.tokens == 1).sum() == 2
    placed = store.sql("SELECT name, first_token, n_tokens FROM documents ORDER BY document").to_pylist()
    assert [row["name"] for row in placed] == ["long", "other"]
    assert [row["first_token"] for row in placed] == (starts * 16).tolist()
    assert sum(row["n_tokens"] for row in placed) == store.tokens.size
    with pytest.raises(CorpusError, match="no document fills one context"):
        cache(
            tmp_path / "t", model=subject, coders=CODERS, documents=[("d", "ab")] * 50, ctx_len=16, join=False
        )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=9), min_size=1, max_size=8),
    st.integers(2, 6),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 4)),
    st.integers(1, 3),
)
def test_packing_against_a_plain_loop(
    documents: list[list[int]], ctx_len: int, start: bool, join: bool, max_rows: int | None, every: int
) -> None:
    packer = Packer(ctx_len, max_rows, 0 if start else None, join)
    blocks: list[Any] = []
    for number, ids in enumerate(documents):
        packer.add(str(number), np.array(ids))
        if number % every == 0:
            blocks.append(packer.take())
    blocks.append(packer.take())
    wanted: list[list[tuple[int, int]]] = []  # rows of (document, token)
    row: list[tuple[int, int]] = []
    for number, ids in enumerate(documents):
        row = row if join else []
        for token in ids:
            if not row and start and token != 0:
                row.append((number, 0))
            row.append((number, token))
            if len(row) == ctx_len:
                wanted.append(row)
                row = []
    wanted = wanted[:max_rows]
    assert np.concatenate(blocks).tolist() == [[token for _, token in row] for row in wanted]
    owners = [owner for row in wanted for owner, _ in row]
    placed = [(str(n), owners.index(n), owners.count(n)) for n in sorted(set(owners))]
    assert packer.placed() == placed
    if start:
        alone = [[token for _, token in row] for row in wanted if len({owner for owner, _ in row} | {0}) == 1]
        first = with_row_starts(np.array(documents[0]), ctx_len, 0)
        for index, ids in enumerate(alone[: len(first) // ctx_len]):
            assert first[index * ctx_len : (index + 1) * ctx_len].tolist() == ids
