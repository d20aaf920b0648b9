"""Models in GGUF become folders that transformers loads, with the same logits."""

from pathlib import Path

import pytest
import torch

from autointerp.errors import ModelLoadError
from autointerp.models.gguf import convert_gguf
from autointerp.models.subject import load_subject
from tests.models.gguf_files import TOKENS, tiny_llama, write_gguf


def test_a_converted_model_gives_the_same_logits(tmp_path: Path):
    model = tiny_llama()
    convert_gguf(write_gguf(tmp_path / "tiny.gguf", model), tmp_path / "model")
    subject = load_subject(str(tmp_path / "model"))
    ids = torch.tensor([[1, 5, 40, TOKENS.index("the"), 17, 3]])
    with torch.inference_mode():
        assert torch.equal(subject.model(ids).logits, model(ids).logits)
    assert subject.n_layers == 2
    assert subject.bos_token_id == 1
    assert subject.tokenizer("the", add_special_tokens=False).input_ids == [TOKENS.index("the")]
    assert [file.name for file in tmp_path.glob(".*")] == []


def test_a_folder_that_is_there_is_replaced_by_a_whole_one_or_kept(tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").write_text("")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(ModelLoadError, match=r"broken\.gguf cannot be read"):
        convert_gguf(tmp_path / "broken.gguf", folder)
    assert [file.name for file in folder.iterdir()] == ["old"]
    convert_gguf(write_gguf(tmp_path / "tiny.gguf", tiny_llama()), folder)
    assert not (folder / "old").exists()
