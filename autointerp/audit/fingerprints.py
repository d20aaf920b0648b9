"""What identifies a store's text and coders: the same in every copy, another in every other store."""

from collections.abc import Iterable
from typing import Any

from autointerp.store import Store


def fingerprints(store: Store, coders: Iterable[str]) -> dict[str, Any]:
    """`model`: name and fingerprint of its weights (`None` in older stores); `corpus`: SHA-256 of its tokens; `coders`: a hash
    of each coder's file, by name. Raises UnknownName."""
    generation, model = store.generation(), store.meta["model"]
    return {
        "model": {"name": model["name"], "fingerprint": model.get("fingerprint")},
        "corpus": store.meta["corpus"]["sha256"],
        "coders": {name: generation.coder(name).identity for name in coders},
    }
