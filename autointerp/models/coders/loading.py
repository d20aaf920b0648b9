"""Loading a coder of any registered format."""

from dataclasses import replace
from pathlib import Path

from autointerp.errors import CoderLoadError
from autointerp.models.coders import registry
from autointerp.models.coders.coder import CoderSpec, SparseCoder
from autointerp.models.coders.hub import download, is_hub_name
from autointerp.models.subject import SubjectModel
from autointerp.reading import expanded, parsing

PICKLES = {".pt", ".pth", ".bin", ".pkl", ".ckpt"}


def load_coder(spec: str | CoderSpec, *, subject: SubjectModel, hookpoint: str | None = None) -> SparseCoder:
    """The coder, checked against the subject. `hookpoint` serves where the spec names none.

    Raises CoderLoadError: unusable files, or a width that is not the hookpoint's. UnknownName: no such hookpoint.
    """
    if isinstance(spec, str):
        spec = CoderSpec(spec)
    given = spec.source
    spec = replace(spec, hookpoint=spec.hookpoint or hookpoint)
    if not registry.is_generated(given) and is_hub_name(given):
        spec = replace(spec, source=str(download(given, spec.hookpoint)))
    form = next((form for form in registry.FORMATS.values() if form.claims(spec.source)), None)
    if form is None:
        raise CoderLoadError(_why_unknown(expanded(spec.source), spec.hookpoint))
    with parsing(f"coder {given} cannot be loaded", CoderLoadError):
        coder: SparseCoder = form.load_module().load(spec, subject)
    coder.source = given
    if not form.generated:
        coder.config["format"] = form.name
    if coder.kind not in registry.KINDS:
        raise CoderLoadError(f"coder {spec.source} is of an unknown kind, {coder.kind!r}")
    _check_width(coder, subject)
    return coder


def _why_unknown(path: Path, hookpoint: str | None) -> str:
    give = f"Give {registry.sources()}."
    if path.suffix in PICKLES:
        return f"{path} is a pickle, which can run code when it is opened, and is never loaded. {give}"
    if not path.exists():
        return f"no coder at {path}. {give}"
    if not path.is_dir():
        return f"{path} is not a file of a known coder format. {give}"
    pickles = [file.name for file in path.iterdir() if file.suffix in PICKLES]
    hint = f" Its {pickles[0]} is a pickle, which is never loaded." if pickles else ""
    where = f" for hookpoint {hookpoint}" if hookpoint else ""
    return f"{path} holds no coder of a known format{where}; looked for {registry.looked_for()}.{hint} {give}"


def _check_width(coder: SparseCoder, subject: SubjectModel) -> None:
    ends = [(coder.tap, coder.d_in, "reads")]
    if coder.target is not None:
        ends.append((coder.target, coder.d_out or 0, "reconstructs"))
    widths = subject.probe([tap for tap, _, _ in ends])
    for tap, width, verb in ends:
        if widths[tap] != width:
            raise CoderLoadError(
                f"coder {coder.source} {verb} vectors of width {width}, but {tap} of {subject.name} has width "
                f"{widths[tap]}: it belongs to another model or hookpoint."
            )
