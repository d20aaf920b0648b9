"""Data sets and lines of JSON: the text's column is known, or asked for; never guessed."""

import json
from pathlib import Path
from typing import Any

import pytest

from autointerp.caching.sources import Dataset, read_dataset, read_text_files
from autointerp.errors import CorpusError
from tests.models.tiny import save_tokenizer

CHAT = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Yes."}]
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|endoftext|>{% endfor %}"


def saved(folder: Path, rows: list[dict[str, Any]]) -> str:
    import datasets

    datasets.Dataset.from_list(rows).save_to_disk(folder)
    return str(folder)


def lines(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize("kind", ["saved", "jsonl"])
def test_column_of_the_text(kind: str, tmp_path: Path) -> None:
    def texts(rows: list[dict[str, Any]], column: str | None = None) -> list[Any]:
        if kind == "jsonl":
            return [text for _, text in read_text_files([lines(tmp_path, rows)], column=column)]
        name = saved(tmp_path / f"saved{len(list(tmp_path.iterdir()))}", rows)
        return [text for _, text in read_dataset(Dataset(name, column=column))]

    both = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]
    assert texts(both) == ["one", "two"]
    assert texts(both, "id") == ["a", "b"]
    assert texts([{"n": 1, "content": "one"}]) == ["one"]
    assert texts([{"id": "x", "input_ids": [5, 6, 7]}]) == [[5, 6, 7]]
    with pytest.raises(CorpusError, match="--column: prompt_id, prompt"):
        texts([{"prompt_id": "9f", "prompt": "one"}])
    with pytest.raises(CorpusError, match=r"no (column|field) 'story'.* id, text"):
        texts(both, "story")
    with pytest.raises(CorpusError, match="chat template"):
        texts([{"id": "x", "messages": CHAT}])
    with pytest.raises(CorpusError, match="not a string"):
        texts([{"id": "x", "n": 3}], "n")


def test_messages_go_through_the_chat_template(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path / "t")
    tokenizer.chat_template = TEMPLATE
    shared = [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Yes."}]
    wanted = tokenizer("<user>Hello?<|endoftext|><assistant>Yes.<|endoftext|>")["input_ids"]
    assert tokenizer.eos_token_id in wanted
    for rows in (
        [{"prompt_id": "a", "prompt": "p", "messages": CHAT}],
        [{"id": "a", "conversations": shared}],
    ):
        assert [ids for _, ids in read_text_files([lines(tmp_path, rows)], tokenizer)] == [wanted]
    name = saved(tmp_path / "d", [{"prompt_id": "a", "messages": CHAT}])
    assert [ids for _, ids in read_dataset(Dataset(name), tokenizer)] == [wanted]


def test_splits(tmp_path: Path) -> None:
    for split in ("validation", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"text": split}))
    name = str(tmp_path)
    assert [text for _, text in read_dataset(Dataset(name, split="test"))] == ["test"]
    with pytest.raises(CorpusError, match=r"no split 'train'; it has .*--split"):
        list(read_dataset(Dataset(name)))
    (tmp_path / "test.jsonl").unlink()
    assert [text for _, text in read_dataset(Dataset(name))] == ["validation"]


def test_configurations(tmp_path: Path) -> None:
    for config in ("en", "de"):
        (tmp_path / config).mkdir()
        (tmp_path / config / "train.jsonl").write_text(json.dumps({"text": config}))
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: en\n  data_dir: en\n- config_name: de\n  data_dir: de\n---\n"
    )
    assert [text for _, text in read_dataset(Dataset(str(tmp_path), "de"))] == ["de"]
    with pytest.raises(CorpusError, match=r"choose one with --config: .*en"):
        list(read_dataset(Dataset(str(tmp_path))))
