"""Every architecture does what docs/models.md says of it, and what it shows is what a plain run of the model measures."""

from pathlib import Path

import pytest
import torch

from tests.models import architectures, zoo
from tests.models.tiny import save_tokenizer

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return folder


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_architecture(name: str, tokenizer: Path, tmp_path: Path) -> None:
    found = architectures.examine(name, tmp_path, tokenizer)
    assert architectures.row(name, found) in architectures.DOCUMENT.read_text(encoding="utf-8").splitlines()
    if found.refused:
        assert name in zoo.REFUSED
        return
    assert found.works["opens again"] == "yes"
    for part in ("block", "mlp"):
        assert found.works.get(f"activations {part}", "yes") == "yes"
        if name not in zoo.ENCODERS:
            assert found.works.get(f"promoted {part}", "yes") == "yes"
    for hookpoint in found.agreement:
        assert found.agreement[hookpoint] >= 0.9
        assert found.slope[hookpoint] == pytest.approx(1, abs=0.1)
    assert bool(found.agreement) == (name not in zoo.ENCODERS)


def test_the_page_has_a_line_for_each_architecture_and_no_other() -> None:
    page = architectures.DOCUMENT.read_text(encoding="utf-8")
    named = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")][2:]
    assert named == list(zoo.ARCHITECTURES)
    assert page.startswith(architectures.INTRODUCTION)
