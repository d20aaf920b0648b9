"""The subject model and coders that a store was made from, loaded again and checked to be those."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autointerp import settings
from autointerp.errors import CoderLoadError, ModelLoadError
from autointerp.models.coders import registry
from autointerp.probe import sources
from autointerp.store import Store
from autointerp.types import CoderInfo

if TYPE_CHECKING:
    from autointerp.models.coders.coder import SparseCoder
    from autointerp.models.subject import SubjectModel


def load_subject(store: Store, *, device: str = "cpu", trust_remote_code: bool = False) -> "SubjectModel":
    """As texts and coders are run on it. Raises ModelLoadError where the weights are missing, are others, or have no
    tokenizer."""
    if store.meta["tokenizer"].get("by_name"):
        raise ModelLoadError(
            f"{_the_model(store)} is not available: this store was imported with the texts of tokens but not their ids, so "
            "nothing can be run. To have a store that can, cache text through the model and its coders."
        )
    if store.coders() and all("imported" in info.config for info in store.coders()):
        raise ModelLoadError(f"The coders of this store were {_imported(store.coders()[0])}")
    dtype = store.meta["model"].get("dtype")
    return load_model(store, device=device, trust_remote_code=trust_remote_code, dtype=dtype)


def load_model(
    store: Store, *, device: str = "cpu", trust_remote_code: bool = False, dtype: str | None = None
) -> "SubjectModel":
    """With its tokenizer, whatever the store's coders are. Raises ModelLoadError as `load_subject`."""
    from autointerp.models.subject import load_subject as load

    what, model = _the_model(store), store.meta["model"]
    source = str(model.get("source") or "")
    folder = sources.find(source)
    tokenizer = str(store.meta["tokenizer"].get("source") or source)
    if folder is None:
        raise ModelLoadError(sources.missing(what, source))
    try:
        with settings.on_a_stores_word():
            subject = load(
                folder,
                device=device,
                trust_remote_code=trust_remote_code,
                dtype=dtype,
                revision=model.get("revision") or None,
                tokenizer=None if tokenizer == source else sources.find(tokenizer),
            )
    except ModelLoadError as error:
        raise ModelLoadError(f"{what} cannot be run. {sources.missing(what, source)} ({error})") from error
    if subject.tokenizer is None:
        raise ModelLoadError(f"{folder} has no tokenizer, so {what} cannot be run on text")
    if model.get("fingerprint") not in (None, subject.fingerprint):
        raise ModelLoadError(
            f"{folder} does not hold the weights that {store.path} was made from, so activations would not match "
            f"the store. Put the old weights back, or build the store again from these."
        )
    return subject


def _the_model(store: Store) -> str:
    return f"the subject model {store.meta['model']['name']}"


def load_coder(info: CoderInfo, subject: "SubjectModel") -> "SparseCoder":
    """Raises CoderLoadError where the weights are missing or are others."""
    from autointerp.models.coders.coder import CoderSpec
    from autointerp.models.coders.loading import load_coder as load

    what = f"coder {info.coder!r}"
    if "imported" in info.config:
        raise CoderLoadError(f"{what} was {_imported(info)}")
    spec = CoderSpec(info.source)
    if not registry.is_generated(info.source):
        folder = sources.find(info.source)
        if folder is None:
            raise CoderLoadError(sources.missing(what, info.source))
        spec = CoderSpec(folder, info.hookpoint, info.kind)
    # Older stores do not record which side of the hookpoint a coder reads; its checksum tells.
    sides = [info.config["side"]] if "side" in info.config else [None, "input", "output"]
    for side in sides:
        try:
            with settings.on_a_stores_word():
                coder = load(replace(spec, side=side), subject=subject)
        except CoderLoadError as error:
            if side == sides[0]:
                raise CoderLoadError(
                    f"{what} cannot be run. {sources.missing(what, info.source)} ({error})"
                ) from error
            continue
        if info.config.get("weights") in (None, coder.checksum()):
            return coder
    raise CoderLoadError(
        f"{spec.source} does not hold the weights that {what} was cached from, so activations would not match the store. "
        "Put the "
        "old weights back, or cache the coder again from these."
    )


def _imported(info: CoderInfo) -> str:
    return (
        f"imported from {info.config['imported']}, whose files hold no weights: there is nothing to run a text through. To "
        "have a store that can, cache text through the model and its coders (`autointerp cache`)."
    )


def masked_ids(subject: "SubjectModel", info: CoderInfo) -> NDArray[np.int64]:
    """Ids that were not cached for a coder; older stores do not list them, and left out BOS alone."""
    bos = (
        []
        if subject.bos_token_id is None or not info.config.get("skip_bos", True)
        else [subject.bos_token_id]
    )
    return np.array(info.config.get("masked_ids", bos), dtype=np.int64)


def key(info: CoderInfo) -> tuple[str, str]:
    """Tells a coder's weights from those of another cached under the same name."""
    return info.coder, f"{info.source} {info.config.get('weights')} {info.created}"
