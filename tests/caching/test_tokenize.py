"""Packing documents into rows, and every kind of source."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.caching import tokenize as module
from autointerp.caching.masking import separator
from autointerp.caching.sources import Dataset, load_token_ids, read_dataset, read_text_files
from autointerp.caching.tokenize import Packer, tokenize
from autointerp.errors import CorpusError
from tests.models.tiny import TEXT, save_tokenizer


class Letters:
    """One token per character; BOS is 1."""

    bos_token_id = 1

    def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [[ord(c) for c in text] for text in texts]}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("abc \n", max_size=12), min_size=1, max_size=12),
    st.integers(1, 7),
    st.one_of(st.none(), st.integers(1, 5)),
    st.integers(1, 9),
)
def test_rows_are_the_documents_in_order(
    texts: list[str], ctx_len: int, max_rows: int | None, batch: int
) -> None:
    named = [(f"d{i}", text) for i, text in enumerate(texts)]
    kept = [(name, text) for name, text in named if text.strip()]
    flat = [token for _, text in kept for token in (1, *map(ord, text))]
    packer = Packer(ctx_len, max_rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCH_CHARS", batch)
        if not kept:
            with pytest.raises(CorpusError, match="empty"):
                list(tokenize(named, Letters(), packer))
            return
        rows = np.concatenate(list(tokenize(named, Letters(), packer, rows_at_once=1)))
    n = len(flat) // ctx_len if max_rows is None else min(len(flat) // ctx_len, max_rows)
    assert rows.tolist() == np.array(flat[: n * ctx_len]).reshape(n, ctx_len).tolist()
    placed = packer.placed()
    assert sum(size for _, _, size in placed) == n * ctx_len
    for (name, first, size), (wanted, text) in zip(placed, kept, strict=False):
        assert name == wanted
        assert flat[first : first + size] == [1, *map(ord, text)][:size]


def test_long_documents_are_cut_where_it_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_CHARS", 40)
    text = TEXT.replace("\n", " ")
    packer = Packer(4, None)
    rows = np.concatenate(list(tokenize([("long", text)], Letters(), packer)))
    flat = [1, *map(ord, text)]
    assert rows.reshape(-1).tolist() == flat[: rows.size]
    assert packer.placed() == [("long", 0, rows.size)]


def test_separator_prefers_bos(tmp_path: Path) -> None:
    assert separator(save_tokenizer(tmp_path / "a", bos="<s>")) == 1
    assert separator(save_tokenizer(tmp_path / "b")) == 0


def test_text_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.jsonl").write_text(
        json.dumps({"text": "two"}) + "\n\n" + json.dumps({"text": "three", "x": 1})
    )
    read = list(read_text_files([tmp_path / "a.txt", tmp_path / "b.jsonl"]))
    assert read == [("a.txt", "one"), ("b.jsonl:1", "two"), ("b.jsonl:3", "three")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("bad.txt", b"\xff\xfe\x00", "not UTF-8"),
        ("bad.jsonl", b"{", "line 1: not JSON"),
        ("bad.jsonl", b'{"a": 1}', 'no "text"'),
        ("gone.txt", None, "no such file"),
    ],
)
def test_bad_text_files(name: str, content: bytes | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=says):
        list(read_text_files([tmp_path / name]))


def test_datasets_by_folder(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_dict({"text": ["one", "two"]}).save_to_disk(tmp_path / "saved")
    assert [text for _, text in read_dataset(Dataset(str(tmp_path / "saved")))] == ["one", "two"]
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "train.jsonl").write_text('{"id": 1, "content": "three"}\n')
    assert [text for _, text in read_dataset(Dataset(str(tmp_path / "files")))] == ["three"]


def test_no_such_dataset(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be loaded"):
        list(read_dataset(Dataset(str(tmp_path / "nothing"))))


def test_token_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.arange(300, dtype=np.uint16))
    assert load_token_ids(tmp_path / "one.npy", None).shape == (2, 128)
    assert load_token_ids(tmp_path / "one.npy", 50).shape == (6, 50)
    np.save(tmp_path / "two.npy", np.arange(300).reshape(3, 100))
    assert load_token_ids(tmp_path / "two.npy", None).shape == (3, 100)
    with pytest.raises(CorpusError, match="rows of 100"):
        load_token_ids(tmp_path / "two.npy", 50)
    for bad in (np.zeros(5), np.zeros((2, 2, 2), int), np.array([{}], dtype=object)):
        np.save(tmp_path / "bad.npy", bad, allow_pickle=True)
        with pytest.raises(CorpusError, match="token ids"):
            load_token_ids(tmp_path / "bad.npy", None)
