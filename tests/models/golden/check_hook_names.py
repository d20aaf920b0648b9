"""Compares every translated hook name with TransformerLens itself: with HookedTransformer where it reads a local checkpoint of
the architecture, and with TransformerBridge. Prints what differs. Not part of the test suite: in an environment with
`transformer-lens==3.9.0` beside what this project needs,

    python tests/models/golden/check_hook_names.py
"""

import importlib
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from autointerp.errors import CoderLoadError
from autointerp.models.coders import hook_names
from autointerp.models.subject import load_subject
from tests.models import zoo

NAMES = (
    "GPT-2", "GPT-Neo", "GPT-J", "GPT-NeoX", "Phi", "Phi-3", "OPT", "Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma-2",
    "Gemma-3",
)  # fmt: skip
IDS = torch.arange(5, 15).view(2, 5)


def hooked(folder: Path) -> dict[str, Any]:
    """What each of the two classes holds at each hook, by the class's name; or why it cannot be run."""
    lens: Any = importlib.import_module("transformer_lens")
    loading: Any = importlib.import_module("transformer_lens.loading_from_pretrained")
    loading.get_official_model_name = lambda name: name  # so that a folder is one
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    made: dict[str, Any] = {}
    for name, make in (
        ("HookedTransformer", lambda: lens.HookedTransformer.from_pretrained_no_processing(str(folder), hf_model=model)),
        (
            "TransformerBridge",
            lambda: lens.model_bridge.TransformerBridge.boot_transformers(str(folder), hf_model=model, tokenizer=tokenizer),
        ),
    ):  # fmt: skip
        try:
            theirs = make()
            if hasattr(theirs, "set_use_hook_mlp_in"):
                theirs.set_use_hook_mlp_in(True)
            made[name] = theirs.run_with_cache(IDS)[1].cache_dict
        except Exception as error:
            made[name] = f"{type(error).__name__}: {str(error)[:80]}"
    return made


def main() -> None:
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            subject = load_subject(str(zoo.save(name, Path(folder))))
            for lens, cache in hooked(Path(folder)).items():
                said = cache if isinstance(cache, str) else f"{compare(subject, cache)} hooks agree"
                print(name, lens, said)  # noqa: T201


def compare(subject: Any, cache: dict[str, torch.Tensor]) -> int:
    """The number of hooks that agree; those that do not are printed."""
    agree = 0
    for hook in sorted(
        {hook.replace("N", layer) for hook in hook_names.HOOKS for layer in "01"} & cache.keys()
    ):
        try:
            named = hook_names.find(subject, hook)
        except CoderLoadError:
            continue
        ours = subject.read([named.tap], IDS)[named.tap]
        ours = ours if named.gain is None else ours / named.gain
        theirs = cache[hook].reshape(ours.shape)
        difference = float((ours - theirs).abs().max() / theirs.abs().max())
        agree += difference < 1e-4
        if difference >= 1e-4:
            print("  differs:", hook, named.tap, difference)  # noqa: T201
    return agree


if __name__ == "__main__":
    main()
