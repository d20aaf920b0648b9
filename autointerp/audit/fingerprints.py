"""What identifies a store's text and coders: the same in every copy, another in every other store."""

from collections.abc import Iterable
from typing import Any

from autointerp.store import Store


def fingerprints(store: Store, coders: Iterable[str]) -> dict[str, Any]:
    """`model`: name and fingerprint of its weights (`None` in older stores); `corpus`: SHA-256 of its tokens; `coders`: a hash
    of each coder's file, by name; `weights`: a checksum of what it was made from, `None` where the store does not know it.
    Raises UnknownName."""
    generation, model = store.generation(), store.meta["model"]
    attached = {name: generation.coder(name) for name in coders}
    return {
        "model": {"name": model["name"], "fingerprint": model.get("fingerprint")},
        "corpus": store.meta["corpus"]["sha256"],
        "coders": {name: coder.identity for name, coder in attached.items()},
        "weights": {name: coder.info.config.get("weights") for name, coder in attached.items()},
    }
