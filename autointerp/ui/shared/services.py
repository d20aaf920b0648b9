"""What the pages work with beside a store: its annotations, loaded models and job runner, one of each per process and store."""

import atexit
import threading
from dataclasses import dataclass
from functools import cached_property

import streamlit as st

from autointerp.errors import StoreReadOnly
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import job_kinds
from autointerp.llm.secrets import Secret
from autointerp.pipeline.resources import Resources
from autointerp.store import Store
from autointerp.store.annotations import Annotations, AuditTable
from autointerp.ui.shared import roles
from autointerp.ui.shared.session import freeze_later_imports


@dataclass(frozen=True)
class Services:
    """`runner` is `None` where nothing can be written."""

    store: Store
    annotations: Annotations
    resources: Resources
    runner: JobRunner | None

    @staticmethod
    def open(store: Store) -> "Services":
        annotations = Annotations(store.path, read_only=not roles.is_owner())
        resources = Resources(store, annotations)
        if annotations.read_only:
            return Services(store, annotations, resources, None)

        def ended() -> None:
            resources.keys.drop_unused()
            freeze_later_imports()

        runner = JobRunner(annotations, job_kinds(resources), ended=ended)
        return Services(store, annotations, resources, runner.start())

    @cached_property
    def answers(self) -> Annotations:
        """Where people's answers go: visitors who may rate write nothing else."""
        return Annotations(self.store.path) if self.annotations.read_only else self.annotations

    def close(self) -> None:
        if self.runner is not None:
            self.runner.close()
        self.annotations.close()
        if "answers" in vars(self):
            self.answers.close()


class _OpenServices:
    """Those of every store that a session of this process has looked at, by its path and by who looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_path: dict[tuple[str, bool], Services] = {}

    def of(self, store: Store) -> Services:
        key = (str(store.path), roles.is_owner())
        with self._lock:
            services = self._by_path.get(key)
            if services is not None and services.store is not store:
                # The store was rebuilt in the same place: its old annotations are no longer there.
                services.close()
                services = None
            if services is None:
                services = self._by_path[key] = Services.open(store)
            return services

    def forget_key(self, key: Secret) -> None:
        with self._lock:
            opened = list(self._by_path.values())
        for services in opened:
            services.resources.keys.forget(key)

    def close(self) -> None:
        with self._lock:
            for services in self._by_path.values():
                services.close()
            self._by_path.clear()


@st.cache_resource(show_spinner=False)
def _open_services() -> _OpenServices:
    opened = _OpenServices()
    atexit.register(opened.close)
    return opened


def close() -> None:
    """Stop the work on every store, and let go of what is open; what a page asks for next is opened again."""
    _open_services().close()


def annotations(store: Store) -> Annotations:
    """Raises StoreError."""
    return _open_services().of(store).annotations


def ratings(store: Store) -> AuditTable:
    """Where answers to audits are written. Raises StoreReadOnly for who may not rate, StoreError."""
    if not roles.may_rate():
        raise StoreReadOnly(f"{roles.CANNOT} Whoever serves it can let them rate (serve --raters).")
    return _open_services().of(store).answers.audits


def resources(store: Store) -> Resources:
    """Models, judges, clients and activations that are loaded once. Raises StoreError."""
    return _open_services().of(store).resources


def runner(store: Store) -> JobRunner | None:
    """Works in the background from the first call on; `None` in a read-only store. Raises StoreError."""
    return _open_services().of(store).runner


def forget_key(key: Secret) -> None:
    """Drop a typed key from the memory of this process, or at the end of the work that was started with it, in every store.
    Raises StoreError."""
    _open_services().forget_key(key)
