"""The formats and kinds of sparse coder, by name. Imports nothing heavy: `--help` and pages that run no model read it.

To add a format: write a module with `load(spec, subject) -> SparseCoder` (and `claims(source) -> bool` for a format of files),
and add one line to `FORMATS`. A new kind of coder, if it brings one, is a line in `KINDS`.
"""

import importlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # which imports numpy
    from autointerp.types import CoderInfo


@dataclass(frozen=True)
class CoderKind:
    """What a coder is to a reader. `is_control`: a baseline to compare trained coders with, never chosen unasked."""

    name: str
    label: str
    help: str
    is_control: bool = False


@dataclass(frozen=True)
class CoderFormat:
    """How coders of one format are named and loaded.

    `module` is imported when a coder may be of this format. `source`: how a person writes one, in capitals what varies; of a
    format of files, what it is called. `help`: what it is; of a format of files, which files tell it. `generated`: made from
    the subject model itself; such a source begins with the format's name and a colon.
    """

    name: str
    module: str
    source: str
    help: str
    generated: bool = False

    def load_module(self) -> Any:
        """The format's module, with `load` and, unless `generated`, `claims`."""
        return importlib.import_module(self.module)

    def claims(self, source: str) -> bool:
        """Whether `source` is of this format."""
        if self.generated:
            return source.startswith(f"{self.name}:")
        return self.load_module().claims(source)


KINDS = {
    kind.name: kind
    for kind in (
        CoderKind("sae", "SAE", "reconstructs the activations that it reads"),
        CoderKind("transcoder", "transcoder", "reconstructs a module's output from its input"),
        CoderKind("skip_transcoder", "skip transcoder", "a transcoder with a linear path in addition to its latents"),
        CoderKind(
            "cross_layer_transcoder", "cross-layer transcoder",
            "reads one layer and writes to it and to later ones; only its reading side is used here",
        ),
        CoderKind("neurons", "neurons", "an MLP's own neurons, the largest on each token", is_control=True),
        CoderKind("random", "random control", "an SAE with random weights, not trained", is_control=True),
    )
}  # fmt: skip
FORMATS = {
    form.name: form
    for form in (
        CoderFormat(
            "neurons", "autointerp.models.coders.neurons", "neurons:HOOKPOINT[:K]",
            "the neurons of an MLP, the K largest on each token", generated=True,
        ),
        CoderFormat(
            "random", "autointerp.models.coders.random", "random:HOOKPOINT:N_LATENTS:K[:SEED]",
            "a TopK SAE with random weights", generated=True,
        ),
        CoderFormat("saelens", "autointerp.models.coders.saelens", "SAELens", "cfg.json and sae_weights.safetensors"),
        CoderFormat(
            "gemma_scope", "autointerp.models.coders.gemma_scope", "Gemma Scope",
            "params.npz, params.safetensors or params_layer_N.safetensors",
        ),
        CoderFormat(
            "dictionary_learning", "autointerp.models.coders.dictionary_learning", "dictionary_learning",
            "ae.pt and config.json",
        ),
        CoderFormat(
            "circuit_tracer", "autointerp.models.coders.circuit_tracer", "circuit-tracer",
            "config.yaml and layer_N.safetensors or W_enc_N.safetensors",
        ),
        CoderFormat("sparsify", "autointerp.models.coders.sparsify", "sparsify", "cfg.json and sae.safetensors"),
    )
}  # fmt: skip


def kind(name: str) -> CoderKind:
    """The kind of this name; one that is not registered is shown by its name."""
    return KINDS.get(name) or CoderKind(name, name.replace("_", " "), "")


def described(name: str, config: Mapping[str, Any]) -> str:
    """What a coder is and, if it came from files, of which format, from its kind and its recorded configuration: "SAE of
    SAELens, jumprelu, blocks.8.hook_resid_pre"."""
    form = FORMATS.get(str(config.get("format")))
    said = [
        str(config[key])
        for key in ("architecture", "dict_class", "hook_name", "submodule_name")
        if config.get(key)
    ]
    return ", ".join([f"{kind(name).label} of {form.source}" if form else kind(name).label, *said])


def is_generated(source: str) -> bool:
    """Whether a coder is made from the subject model, not read from files."""
    return any(form.generated and form.claims(source) for form in FORMATS.values())


def sources() -> str:
    """How a coder can be given, as the end of a sentence."""
    made = [form.source for form in FORMATS.values() if form.generated]
    *first, last = [form.source for form in FORMATS.values() if not form.generated]
    return (
        f"{', '.join(made)}, or a folder or hub name (owner/name, owner/name/folder@revision) in the format of "
        f"{', '.join(first)} or {last}"
    )


def looked_for() -> str:
    """Which files tell the formats."""
    return "; ".join(f"{form.help} ({form.source})" for form in FORMATS.values() if not form.generated)


def default_name(source: str) -> str:
    """What a coder is called in a store unless it is given a name: the folder's name, with those above it where that says
    little (`layer_20-width_16k-average_l0_71`), or format and hookpoint."""
    if is_generated(source):
        return "-".join(source.split(":")[:2])
    above = os.path.realpath(os.path.expanduser(source.partition("@")[0])).split(os.sep)
    parts = [re.sub(r"\.(safetensors|npz)$", "", above.pop())]
    while above and re.match(r"average_l0_|width_|trainer_|layer_\d+_width_|params", parts[0]):
        parts.insert(0, above.pop())
    return "-".join(part for part in parts if part)


def trained_first(infos: "Iterable[CoderInfo]") -> "list[CoderInfo]":
    """Controls last; otherwise in their order."""
    return sorted(infos, key=lambda info: kind(info.kind).is_control)
