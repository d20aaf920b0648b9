"""What is fetched of a repository of coders: never more than one coder needs. The hub is a folder here."""

import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from autointerp.errors import CoderLoadError
from autointerp.models.coders import hub
from autointerp.models.coders.loading import load_coder
from autointerp.models.coders.registry import default_name
from autointerp.models.subject import SubjectModel, load_subject
from tests.models.tiny import save_neox

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> SubjectModel:
    return load_subject(str(save_neox(tmp_path_factory.mktemp("subject"))))


class Hub:
    """Repositories are folders below `remote`; `fetched` are the files of the last download."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch):
        self.remote, self.cache, self.fetched = root / "remote", root / "cache", list[str]()
        patch.setattr(huggingface_hub, "snapshot_download", self.download)
        patch.setattr(huggingface_hub, "HfApi", lambda: self)

    def list_repo_files(self, repository: str, revision: str | None = None) -> list[str]:
        folder = self.remote / repository / (revision or "main")
        return [str(file.relative_to(folder)) for file in sorted(folder.rglob("*")) if file.is_file()]

    def download(self, repository: str, *, revision: str | None, allow_patterns: list[str], **_: Any) -> str:
        files = self.list_repo_files(repository, revision)
        if not files:
            raise OSError("404: no such repository")
        self.fetched = [file for file in files if any(fnmatch(file, pattern) for pattern in allow_patterns)]
        source = self.remote / repository / (revision or "main")
        target = self.cache / f"models--{repository.replace('/', '--')}" / "snapshots" / (revision or "main")
        for file in self.fetched:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / file, target / file)
        target.mkdir(parents=True, exist_ok=True)
        return str(target)

    def add(self, repository: str, source: Path, to: str = "", revision: str = "main") -> None:
        shutil.copytree(source, self.remote / repository / revision / to, dirs_exist_ok=True)


@pytest.fixture
def some_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(tmp_path, monkeypatch)


def test_a_folder_of_a_repository(some_hub: Hub, subject: SubjectModel) -> None:
    some_hub.add("jbloom/saes", GOLDEN / "saelens" / "standard", "blocks.1.hook_mlp_out", revision="v2")
    some_hub.add("jbloom/saes", GOLDEN / "saelens" / "gated", "blocks.1.hook_attn_out", revision="v2")
    coder = load_coder("jbloom/saes/blocks.1.hook_attn_out@v2", subject=subject)
    assert (coder.source, coder.config["architecture"]) == ("jbloom/saes/blocks.1.hook_attn_out@v2", "gated")
    assert {Path(file).parts[0] for file in some_hub.fetched} == {"blocks.1.hook_attn_out"}


def test_several_coders_are_listed_and_none_is_fetched(some_hub: Hub, subject: SubjectModel) -> None:
    for architecture in ("standard", "gated", "topk"):
        some_hub.add("jbloom/saes", GOLDEN / "saelens" / architecture, architecture)
    with pytest.raises(CoderLoadError, match=r"holds 3 coders: gated, standard, topk.*jbloom/saes/gated"):
        load_coder("jbloom/saes", subject=subject)
    assert some_hub.fetched == []


def test_one_layer_of_a_folder_of_transcoders(some_hub: Hub, subject: SubjectModel) -> None:
    some_hub.add("mntss/transcoders", GOLDEN / "circuit_tracer" / "relu", "small")
    by_hookpoint = load_coder("mntss/transcoders", subject=subject, hookpoint="layers.1.mlp")
    assert sorted(some_hub.fetched) == ["small/config.yaml", "small/layer_1.safetensors"]
    by_file = load_coder("mntss/transcoders/small/layer_1.safetensors", subject=subject)
    assert by_file.checksum() == by_hookpoint.checksum()
    with pytest.raises(CoderLoadError, match=r"holds 3 coders: small/layer_0.safetensors"):
        load_coder("mntss/transcoders", subject=subject)


def test_the_repository_says_the_site_of_gemma_scope(some_hub: Hub, subject: SubjectModel) -> None:
    repository = "google/gemma-scope-2b-pt-res"
    some_hub.add(repository, GOLDEN / "gemma_scope" / "gemma-scope-2b-pt-res")
    coder = load_coder(f"{repository}/layer_1/width_16k/average_l0_71", subject=subject)
    assert (coder.hookpoint, coder.tap.side) == ("layers.1", "output")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nobody/nothing", "the hub did not provide it .*404"),
        ("jbloom/saes/nothing", "jbloom/saes of the hub has no nothing"),
    ],
)
def test_what_the_hub_has_not(source: str, says: str, some_hub: Hub, subject: SubjectModel) -> None:
    some_hub.add("jbloom/saes", GOLDEN / "saelens" / "standard")
    with pytest.raises(CoderLoadError, match=says):
        load_coder(source, subject=subject)


def test_names_of_the_hub() -> None:
    assert hub.parse("owner/name/a/b@refs/pr/3") == ("owner/name", "a/b", "refs/pr/3")
    assert hub.parse("owner/name@v1") == ("owner/name", "", "v1")
    for path in (
        "owner/name/../../etc",
        "/owner/name",
        "./owner/name",
        "~/owner/name",
        "owner",
        "owner/name/.",
    ):
        assert hub.parse(path) is None


def test_names_that_say_little_take_those_above_them() -> None:
    assert (
        default_name("google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71")
        == "layer_20-width_16k-average_l0_71"
    )
    assert default_name("jbloom/saes/blocks.8.hook_resid_pre@v2") == "blocks.8.hook_resid_pre"
    assert default_name("runs/gpt2/trainer_0") == "gpt2-trainer_0"
    assert default_name("mntss/transcoders/layer_3.safetensors") == "layer_3"
