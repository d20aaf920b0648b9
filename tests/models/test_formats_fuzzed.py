"""Damaged and hostile coder files: a CoderLoadError that names what is wrong, whatever a file holds; no code is run, no memory
beyond what the file's size warrants is taken. `AUTOINTERP_FUZZ=20000` tries so many mutations instead of a few hundred."""

import contextlib
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from autointerp.errors import CoderLoadError, ModelLoadError, UnknownName
from autointerp.models.coders.coder import CoderSpec
from autointerp.models.coders.loading import load_coder
from autointerp.models.subject import SubjectModel, load_subject
from tests.models.tiny import save_coder, save_neox

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = (
    "saelens/gated", "saelens/topk_rescaled", "saelens/skip_transcoder", "saelens/batchtopk_checkpoint", "saelens/old_topk",
    "gemma_scope/gemma-scope-2b-pt-res", "gemma_scope/gemma-scope-2-1b-pt/resid_post", "dictionary_learning/AutoEncoderTopK",
    "dictionary_learning/MatryoshkaBatchTopKSAE", "circuit_tracer/jumprelu_skip", "circuit_tracer/clt", "sparsify",
)  # fmt: skip
N = int(os.environ.get("AUTOINTERP_FUZZ", "360")) // len(FOLDERS)
REPLACEMENTS = (
    None, True, -1, 0, 1, 2**63, 1e300, "", "nan", "topk", "../../etc/passwd", [], {}, [[]], {"a": {}}, "blocks.9.hook_mlp_out",
    "x" * 5000, float("nan"),
)  # fmt: skip


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> SubjectModel:
    return load_subject(str(save_neox(tmp_path_factory.mktemp("subject"))))


def copy_of(name: str, to: Path) -> Path:
    """A folder with a coder; the name of Gemma Scope's says what it reads."""
    if name == "sparsify":
        save_coder(to / "layers.1.mlp")
        return to
    folder = to / Path(name).name
    shutil.copytree(GOLDEN / name, folder)
    for file in folder.rglob("expected.safetensors"):
        file.unlink()
    return folder


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes cut, with some turned, doubled, or a number in them made huge."""
    way, at = rng.integers(6), int(rng.integers(len(data)))
    if way == 0:
        return data[:at]
    if way == 1:
        return data[:at] + rng.bytes(int(rng.integers(1, 9))) + data[at + 1 :]
    if way == 2:
        return data[:at] + data[at + int(rng.integers(1, 200)) :]
    if way == 3:
        return data[:at] + data[at : at + 100] * int(rng.integers(2, 5)) + data[at + 100 :]
    if way == 4:
        return data[:at] + struct.pack("<Q", int(rng.integers(1, 2**62))) + data[at + 8 :]
    near = data.find(b"}") if rng.integers(2) else min(len(data) - 1, 8 + int(rng.integers(300)))
    return data[:near] + bytes([int(rng.integers(256))]) + data[near + 1 :]


def with_a_setting_changed(text: str, rng: np.random.Generator) -> str:
    """One value somewhere in a JSON file replaced, or its key removed."""
    whole = json.loads(text)
    holder = whole
    while nested := [value for value in holder.values() if isinstance(value, dict) and value]:
        if rng.integers(2):
            break
        holder = nested[int(rng.integers(len(nested)))]
    key = list(holder)[int(rng.integers(len(holder)))]
    if rng.integers(5) == 0:
        del holder[key]
    else:
        holder[key] = REPLACEMENTS[int(rng.integers(len(REPLACEMENTS)))]
    return json.dumps(whole)


@pytest.mark.parametrize("name", FOLDERS)
def test_mutated_files(name: str, tmp_path: Path, subject: SubjectModel) -> None:
    rng = np.random.default_rng(FOLDERS.index(name))
    folder = copy_of(name, tmp_path)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    hookpoint = "layers.1.mlp" if name.startswith("circuit") else None
    whole = load_coder(str(folder), subject=subject, hookpoint=hookpoint)
    assert whole.n_latents
    refused = 0
    for _ in range(N):
        file = files[int(rng.integers(len(files)))]
        before = file.read_bytes()
        if file.suffix == ".json" and rng.integers(2):
            file.write_text(with_a_setting_changed(before.decode(), rng))
        else:
            file.write_bytes(mutated(before, rng))
        with contextlib.suppress(CoderLoadError, ModelLoadError, UnknownName):
            refused += 1
            coder = load_coder(CoderSpec(str(folder), hookpoint), subject=subject)
            coder.encode(torch.randn(3, coder.d_in))
            refused -= 1
        file.write_bytes(before)
    assert refused > N // 8


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, at: Path):
        self.at = at

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.at),)


@pytest.mark.parametrize("how", ["as a tensor", "beside tensors", "an old file", "in an array"])
def test_a_file_that_would_run_code(how: str, tmp_path: Path, subject: SubjectModel) -> None:
    ran = tmp_path / "ran"
    if how == "in an array":
        folder = copy_of("gemma_scope/gemma-scope-2b-pt-res", tmp_path)
        file = next(folder.rglob("params.npz"))
        np.savez(file, W_enc=np.array([Bomb(ran)], dtype=object))
    else:
        folder = copy_of("dictionary_learning/AutoEncoder", tmp_path)
        file = folder / "ae.pt"
        state = torch.load(file, weights_only=True)
        bombs = {"encoder.weight": Bomb(ran)} if how == "as a tensor" else {**state, "note": Bomb(ran)}
        if how == "an old file":
            file.write_bytes(pickle.dumps(bombs))
        else:
            torch.save(bombs, file)
    with pytest.raises(CoderLoadError, match=file.name):
        load_coder(str(folder), subject=subject)
    assert not ran.exists()


def zeros(n_bytes: int) -> bytes:
    """An .npy file of zeros."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f4", "fortran_order": False, "shape": (16, n_bytes // 64)}
    )
    return buffer.getvalue()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, subject: SubjectModel) -> None:
    """512 MB of zeros in 2 MB, as an npz and as the index of a .pt."""
    size = 512 << 20
    npz = copy_of("gemma_scope/gemma-scope-2b-pt-res", tmp_path)
    pt = copy_of("dictionary_learning/AutoEncoder", tmp_path)
    for file, entry in ((next(npz.rglob("params.npz")), "W_enc.npy"), (pt / "ae.pt", "archive/data.pkl")):
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open(entry, "w", force_zip64=True) as out,
        ):
            out.write(zeros(size))
            for _ in range(size >> 24):
                out.write(bytes(1 << 24))
        assert file.stat().st_size < 32 << 20
    process = psutil.Process()
    before = process.memory_info().rss
    for folder in (npz, pt):
        with pytest.raises(CoderLoadError, match="would unpack to"):
            load_coder(str(folder), subject=subject)
    assert process.memory_info().rss - before < 128 << 20


def test_a_tensor_larger_than_its_file(tmp_path: Path, subject: SubjectModel) -> None:
    """A view that repeats one row a billion times takes no room in the file."""
    folder = copy_of("dictionary_learning/AutoEncoder", tmp_path)
    state = torch.load(folder / "ae.pt", weights_only=True)
    torch.save(state | {"encoder.weight": torch.zeros(1, 16).expand(1 << 30, 16)}, folder / "ae.pt")
    with pytest.raises(CoderLoadError, match=r"'encoder\.weight' has more entries than the file holds"):
        load_coder(str(folder), subject=subject)


def test_a_tensor_cut_short_is_not_read_from_the_memory_beside_it(
    tmp_path: Path, subject: SubjectModel
) -> None:
    """Sizes agree with each other; the numbers themselves are not in the file."""
    folder = copy_of("dictionary_learning/AutoEncoderNew", tmp_path)
    n, file = 5000, folder / "ae.pt"
    shapes = {
        "encoder.weight": (n, 16),
        "encoder.bias": (n,),
        "decoder.weight": (16, n),
        "decoder.bias": (16,),
    }
    torch.save({name: torch.ones(shape) for name, shape in shapes.items()}, file)
    with zipfile.ZipFile(file) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in sorted(parts.items(), key=lambda part: len(part[1])):
            archive.writestr(name, data[:64] if "/data/" in name else data)
    assert file.stat().st_size < 4 * n
    with pytest.raises(CoderLoadError, match=r"ae\.pt is not a state dict of torch, or is damaged"):
        load_coder(str(folder), subject=subject)


def test_a_configuration_names_no_file_elsewhere(tmp_path: Path, subject: SubjectModel) -> None:
    """circuit-tracer's may list files of any place: none of them is opened."""
    (tmp_path / "config.yaml").write_text(
        "model_kind: transcoder_set\nfeature_input_hook: mlp.hook_in\nfeature_output_hook: hook_mlp_out\n"
        "transcoders:\n- ../../secret.safetensors\n- hf://owner/name/layer_1.safetensors\n"
    )
    with pytest.raises(
        CoderLoadError, match=r"kept elsewhere \(\.\./\.\./secret.*not fetched just because a file names them"
    ):
        load_coder(str(tmp_path), subject=subject)


def test_yaml_that_would_run_code_or_grow(tmp_path: Path, subject: SubjectModel) -> None:
    folder = copy_of("circuit_tracer/relu", tmp_path)
    config = (folder / "config.yaml").read_text()
    for hostile in (
        f"{config}\nx: !!python/object/apply:os.mkdir [{tmp_path / 'ran'}]\n",
        config.replace("mlp.hook_in", "[1, 2]"),
        "a: &a [x, x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)),
        "[" * 3000,
    ):
        (folder / "config.yaml").write_text(hostile)
        with pytest.raises(CoderLoadError, match=r"config\.yaml"):
            load_coder(str(folder / "layer_1.safetensors"), subject=subject)
    assert not (tmp_path / "ran").exists()
