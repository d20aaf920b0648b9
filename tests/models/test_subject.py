"""Loading subject models, resolving hookpoints, reading and replacing what flows through them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autointerp.caching import cache
from autointerp.errors import ModelLoadError, UnknownName
from autointerp.models.hooks import Tap, hooked
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.probe import Prober
from autointerp.store import Store
from tests.models.tiny import TEXT, VOCAB, save_bert, save_gpt2, save_llama, save_neox, save_opt

FAMILIES: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "neox": (save_neox, "gpt_neox", "layers.1.mlp"),
    "gpt2": (save_gpt2, "transformer", "h.1.mlp"),
    "llama": (save_llama, "model", "layers.1.mlp"),
    "opt": (save_opt, "model", "decoder.layers.1"),
    "bert": (save_bert, "bert", "encoder.layer.1"),
}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SubjectModel]:
    root = tmp_path_factory.mktemp("subjects")
    return {name: load_subject(str(save(root / name))) for name, (save, _, _) in FAMILIES.items()}


@pytest.fixture(params=FAMILIES)
def family(
    request: pytest.FixtureRequest, subjects: dict[str, SubjectModel]
) -> tuple[SubjectModel, str, str]:
    _, prefix, hookpoint = FAMILIES[request.param]
    return subjects[request.param], prefix, hookpoint


def test_facts(family: tuple[SubjectModel, str, str]) -> None:
    subject, prefix, _ = family
    assert subject.d_model == 16
    assert subject.vocab_size == VOCAB
    assert subject.is_causal == (prefix != "bert")
    assert (subject.unembedding is not None) == subject.is_causal
    assert subject.max_ctx_len == (32 if prefix in ("bert", "transformer") else 64)


def test_bos_comes_from_the_tokenizer(subjects: dict[str, SubjectModel]) -> None:
    assert subjects["neox"].bos_token_id == 0
    assert subjects["llama"].bos_token_id == 1


def test_hookpoint_with_and_without_prefix(family: tuple[SubjectModel, str, str]) -> None:
    subject, prefix, hookpoint = family
    assert subject.resolve(hookpoint) == hookpoint
    assert subject.resolve(f"{prefix}.{hookpoint}") == hookpoint
    assert hookpoint in subject.modules


def test_unknown_hookpoint_lists_near_ones(subjects: dict[str, SubjectModel]) -> None:
    with pytest.raises(UnknownName, match=r"layers\.2\.mlp"):
        subjects["neox"].resolve("layers.7.mlp")


@pytest.mark.parametrize("side", ["input", "output"])
def test_taps_hold_what_the_module_gets_and_gives(family: tuple[SubjectModel, str, str], side: str) -> None:
    subject, _, hookpoint = family
    ids = torch.arange(20).view(2, 10)
    seen = []
    module = subject.base.get_submodule(hookpoint)

    def spy(_m: object, args: tuple, kwargs: dict, output: object) -> None:
        given = args[0] if args else kwargs["hidden_states"]
        returned = output[0] if isinstance(output, tuple) else output
        seen.append(given if side == "input" else returned)

    handle = module.register_forward_hook(spy, with_kwargs=True)
    with torch.inference_mode():
        subject.base(input_ids=ids)
    handle.remove()
    tap = Tap(hookpoint, side)  # type: ignore[arg-type]
    tensor = subject.read([tap], ids)[tap]
    assert tensor.shape == (2, 10, 16)
    assert torch.equal(tensor, seen[0].reshape(2, 10, 16))


def test_input_passed_as_keyword(subjects: dict[str, SubjectModel]) -> None:
    """Attention modules get `hidden_states=` by name."""
    subject = subjects["gpt2"]
    taps = [Tap("h.1.attn", "input"), Tap("h.1.ln_1", "output"), Tap("layers.1.self_attn", "input")]
    tensors = subject.read(taps[:2], torch.arange(6)[None])
    assert torch.equal(tensors[taps[0]], tensors[taps[1]])
    assert subjects["llama"].read(taps[2:], torch.arange(6)[None])[taps[2]].shape == (1, 6, 16)


def test_a_model_by_its_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the hub's local cache; a revision is another snapshot, and a store's probe loads the one it was made from."""
    import huggingface_hub.constants

    repository = tmp_path / "hub" / "models--someone--tiny"
    for revision, commit, seed in (("main", "a" * 40, 1), ("v2", "b" * 40, 2)):
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / revision).write_text(commit)
        save_neox(repository / "snapshots" / commit, seed=seed)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    first, second = load_subject("someone/tiny"), load_subject("someone/tiny@v2")
    assert first.fingerprint != second.fingerprint
    assert (second.source, second.tokenizer_source) == ("someone/tiny", "someone/tiny")
    assert second.revision == "b" * 40
    assert load_subject("someone/tiny", revision="v2").fingerprint == second.fingerprint
    cache(
        tmp_path / "s",
        model="someone/tiny@v2",
        coders={"r": "random:layers.1:24:4"},
        documents=[("d", TEXT * 5)],
    )
    assert Prober(Store.open(tmp_path / "s")).run("the fox").coders["r"].of(0).shape
    with pytest.raises(ModelLoadError, match="someone/tiny"):
        load_subject("someone/tiny@v3")


def test_nothing_runs_after_the_last_tap(subjects: dict[str, SubjectModel]) -> None:
    subject = subjects["neox"]
    called: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in subject.base.named_modules()
        if name
    ]
    taps = [Tap("layers.1.mlp", "input"), Tap("layers.0.mlp", "output")]
    subject.read(taps, torch.arange(8)[None])
    for handle in handles:
        handle.remove()
    assert "layers.0.mlp" in called
    assert "layers.1.attention" in called
    assert not [name for name in called if name.startswith(("layers.1.mlp", "layers.2", "final"))]


def test_no_hook_is_left(subjects: dict[str, SubjectModel]) -> None:
    subject = subjects["neox"]
    tap = Tap("layers.0.mlp", "output")
    subject.read([tap], torch.arange(8)[None])
    assert subject.base(input_ids=torch.arange(8)[None]).last_hidden_state.shape == (1, 8, 16)


@pytest.mark.parametrize("side", ["input", "output"])
def test_replacing_reaches_the_logits(family: tuple[SubjectModel, str, str], side: str) -> None:
    subject, _, hookpoint = family
    ids = torch.arange(10)[None]
    with torch.inference_mode():
        clean = subject.base(input_ids=ids)[0]
        with hooked(subject.base, [Tap(hookpoint, side)], lambda _, x: x.clone()):  # type: ignore[arg-type]
            same = subject.base(input_ids=ids)[0]
        with hooked(subject.base, [Tap(hookpoint, side)], lambda _, x: torch.zeros_like(x)):  # type: ignore[arg-type]
            other = subject.base(input_ids=ids)[0]
    assert torch.equal(clean, same)
    assert not torch.allclose(clean, other)


def test_module_that_is_never_called(subjects: dict[str, SubjectModel]) -> None:
    with pytest.raises(ModelLoadError, match="never called"):
        subjects["neox"].probe([Tap("layers", "output")])


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no such folder"):
        load_subject(str(tmp_path / "nothing"))


def test_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        load_subject(str(tmp_path))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = save_neox(tmp_path / "m")
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match=r"[Pp]ickled"):
        load_subject(str(folder))


def test_damaged_weights(tmp_path: Path) -> None:
    folder = save_neox(tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelLoadError):
        load_subject(str(folder))


def test_own_code_is_not_run(tmp_path: Path) -> None:
    folder = save_neox(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ModelLoadError, match="trust_remote_code"):
        load_subject(str(folder))


def test_base_checkpoint_has_no_logits(tmp_path: Path, subjects: dict[str, SubjectModel]) -> None:
    """A head that would be random is no head."""
    subjects["neox"].base.save_pretrained(tmp_path / "base")  # type: ignore[operator]
    subject = load_subject(str(tmp_path / "base"))
    assert not subject.is_causal
    assert subject.resolve("layers.2") == "layers.2"


def test_half_precision_weights_run_in_float32(tmp_path: Path) -> None:
    folder = save_neox(tmp_path / "m")
    load_subject(str(folder)).model.half().save_pretrained(folder)  # type: ignore[operator]
    subject = load_subject(str(folder))
    assert {p.dtype for p in subject.model.parameters()} == {torch.float32}
