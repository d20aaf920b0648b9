"""API keys that were typed: in this process's memory and nowhere else, each under a name that options and jobs may hold."""

import threading
from typing import Any

from autointerp.errors import UserError
from autointerp.llm.secrets import Secret
from autointerp.records import new_id
from autointerp.store.annotations import Annotations


class KeyGone(UserError):
    """A key that was typed, and kept nowhere, is not in this process's memory: no item of the job can do without it."""


class ApiKeys:
    """Thread-safe. A forgotten key stays only as long as a queued or running job names it."""

    def __init__(self, annotations: Annotations):
        self._annotations = annotations
        self._keys: dict[str, Secret] = {}
        self._forgotten: set[str] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str) -> str:
        """Keep it; the name to put into `LLMOptions.key_ref`, the same for the same key. Raises `AuthError` for what cannot be
        one."""
        secret = Secret(key)
        with self._lock:
            name = self._name(secret) or f"key-{new_id()}"
            self._keys[name] = secret
            self._forgotten.discard(name)
            return name

    def get(self, name: str) -> Secret | None:
        return self._keys.get(name)

    def forget(self, key: Secret) -> None:
        """Drop it now, or when the last job that works with it has ended. Raises StoreError."""
        with self._lock:
            name = self._name(key)
            if name is None:
                return
            self._forgotten.add(name)
        self.drop_unused()

    def drop_unused(self) -> None:
        """Drop the forgotten ones that no job needs any more: to be called when a job has ended. Raises StoreError."""
        if not self._forgotten:
            return
        needed = {name for job in self._annotations.jobs.active() for name in _key_refs(job.payload)}
        with self._lock:
            for name in self._forgotten - needed:
                self._keys.pop(name, None)
            self._forgotten &= needed

    def _name(self, secret: Secret) -> str | None:
        return next((name for name, known in self._keys.items() if known.reveal() == secret.reveal()), None)


def _key_refs(payload: Any) -> set[str]:
    """Every `key_ref` in a job's payload, however deep: the job's own, and those it hands on to the jobs that follow it."""
    if isinstance(payload, dict):
        named = payload.get("key_ref")
        return {str(named)} if named is not None else set().union(*map(_key_refs, payload.values()))
    return set().union(*map(_key_refs, payload)) if isinstance(payload, list | tuple) else set()
