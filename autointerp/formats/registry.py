"""The formats that `autointerp import` reads and `autointerp export` writes. Imports nothing heavy: `--help` reads it.

To add one: write a module with the functions that its entry names, and add the entry here and a section to docs/formats.md.
"""

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from autointerp.errors import UserError
from autointerp.models.coders.registry import KINDS
from autointerp.registry import Entry, Option, Registry

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class ImportFormat(Entry):
    """`source`: what a person names, as the end of a sentence. `build`: "module:function" that imports, of an `ImportRequest`
    and a progress callback, and returns a `Summary`. `claims`: "module:function" that says whether a path is of this format,
    from its name and first bytes; it raises nothing."""

    source: str
    claims: str

    def recognises(self, path: Path) -> bool:
        """Whether `path` looks like this format."""
        return _function(self.claims)(path)


@dataclass(frozen=True, kw_only=True)
class ExportFormat(Entry):
    """`target`: what is written, as the end of a sentence. `build`: "module:function" that exports, of an `ExportRequest` and a
    progress callback, and returns a `Summary`."""

    target: str


TOKENIZER = Option(
    name="tokenizer",
    label="Tokenizer",
    help="Folder or hub name of the tokenizer that the token ids come from (default: that of the model named in the files, "
    "if it is on this machine; without one, ids are shown)",
    default=None,
    optional=True,
    metavar="T",
)

KIND = Option(
    name="kind",
    label="Kind",
    help="Kind of the coders, which the files do not state",
    default="sae",
    choices={name: kind.label for name, kind in KINDS.items()},
)
ONLY = (
    Option(
        name="only_latents",
        label="Latents",
        help="Only these latents, such as 0-99,512 (default: all)",
        default=None,
        optional=True,
        metavar="LIST",
    ),
    Option(
        name="batches",
        label="Batches",
        help="Only these batches of activations, such as 0-3 (default: all)",
        default=None,
        optional=True,
        metavar="LIST",
    ),
)

IMPORTS: Registry[ImportFormat] = Registry(
    "import format",
    ImportFormat(
        name="delphi",
        label="delphi",
        help="Activation caches, explanations and scores of EleutherAI's delphi",
        source="the folder of a run, its latents/, or the cache of one hookpoint",
        build="autointerp.formats.delphi.read:run",
        claims="autointerp.formats.delphi.read:claims",
        options=(
            TOKENIZER,
            Option(
                name="hookpoint",
                label="Hookpoints",
                help="Only these hookpoints; NAME= names the coder in the store (default: all, by their own names)",
                default=None,
                several=True,
                optional=True,
                metavar="[NAME=]HOOKPOINT",
            ),
            replace(
                KIND,
                default=None,
                optional=True,
                cli_help="kind of the coders, which the files do not state (default: transcoder if their name says so, or "
                "for circuit-tracer, else sae)",
            ),
        ),
    ),
    ImportFormat(
        name="neuronpedia",
        label="Neuronpedia",
        help="Neuronpedia's public export: dashboards and explanations",
        source="the folder of a source, such as v1/gpt2-small/6-res-jb, or of a model",
        build="autointerp.formats.neuronpedia.read:run",
        claims="autointerp.formats.neuronpedia.read:claims",
        options=(KIND, *ONLY),
    ),
    ImportFormat(
        name="saedashboard",
        label="SAEDashboard",
        help="The batch-N.json of SAEDashboard's runner for Neuronpedia",
        source="the folder with batch-0.json",
        build="autointerp.formats.saedashboard:run",
        claims="autointerp.formats.saedashboard:claims",
        options=(KIND, *ONLY),
    ),
    ImportFormat(
        name="circuit-tracer",
        label="circuit-tracer",
        help="The feature files of circuit-tracer's transcoders",
        source="the folder with a NUMBER.json for each feature",
        build="autointerp.formats.circuit_tracer:run",
        claims="autointerp.formats.circuit_tracer:claims",
        options=(
            replace(KIND, default="transcoder"),
            ONLY[0],
            Option(
                name="ids",
                label="Numbers of files",
                help="How a file's number encodes layer and latent",
                default="cantor",
                choices={
                    "cantor": "Cantor's pairing",
                    "decimal": "100,000 times the layer, plus the latent",
                    "plain": "the latent, of one layer",
                },
            ),
        ),
    ),
)

EXPORTS: Registry[ExportFormat] = Registry(
    "export format",
    ExportFormat(
        name="neuronpedia",
        label="Neuronpedia",
        help="The files that Neuronpedia imports, with scores and audits beside them",
        target="a new folder, with a folder for the model and inside it one for each coder",
        build="autointerp.formats.neuronpedia.write:run",
        options=(
            Option(
                name="model_id",
                label="Model",
                help="Neuronpedia's id of the model (default: the last part of its name)",
                default=None,
                optional=True,
                metavar="ID",
            ),
            Option(
                name="creator_id",
                label="Creator",
                help="Neuronpedia's id of the user whose rows these are (default: that of a fresh instance)",
                default="clkht01d40000jv08hvalcvly",
                metavar="ID",
            ),
        ),
    ),
    ExportFormat(
        name="delphi",
        label="delphi",
        help="Activation caches, explanations and scores of EleutherAI's delphi",
        target="a new folder, laid out like that of a run",
        build="autointerp.formats.delphi.write:run",
        options=(
            Option(
                name="splits",
                label="Shards",
                help="Shards of each coder's cache (default: 5, more for a large one)",
                default=None,
                kind=int,
                optional=True,
                minimum=1,
                maximum=10_000,
            ),
        ),
    ),
    ExportFormat(
        name="html",
        label="HTML",
        help="One page of features that needs no server, no script and no network",
        target="an .html file",
        build="autointerp.formats.html.write:run",
        options=(
            Option(
                name="title",
                label="Title",
                help="Title of the page (default: what is on it)",
                default=None,
                optional=True,
                metavar="TEXT",
            ),
            Option(
                name="n_contexts",
                label="Contexts",
                help="Contexts in each group",
                default=20,
                kind=int,
                minimum=1,
                maximum=100,
                metavar="N",
            ),
            Option(
                name="window",
                label="Window",
                help="Tokens in a context, 0 for whole contexts",
                default=32,
                kind=int,
                minimum=0,
                maximum=1 << 20,
                metavar="N",
            ),
        ),
    ),
)


def recognise(sources: tuple[Path, ...]) -> ImportFormat:
    """The format of all `sources`. Raises UserError where none or several formats claim one of them, or they differ."""
    claimed = {path: [form for form in IMPORTS.values() if form.recognises(path)] for path in sources}
    for path, forms in claimed.items():
        if not path.exists():
            raise UserError(f"There is no file or folder {str(path)!r}.")
        if len(forms) != 1:
            names = " and ".join(form.name for form in forms)
            said = f"could be {names}" if forms else "is in none of the formats that can be detected"
            accepted = "; ".join(f"{form.name}: {form.source}" for form in IMPORTS.values())
            raise UserError(
                f"{str(path)!r} {said}. Give the format instead of {AUTO!r}. Accepted: {accepted}."
            )
    if len({forms[0].name for forms in claimed.values()}) > 1:
        claims = ", ".join(f"{str(path)!r} is {forms[0].name}" for path, forms in claimed.items())
        raise UserError(f"The sources are in different formats ({claims}). Import them one at a time.")
    return claimed[sources[0]][0]


def _function(name: str) -> Any:
    module, function = name.split(":")
    return getattr(import_module(module), function)
