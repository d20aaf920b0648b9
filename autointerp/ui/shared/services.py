"""What the pages work with beside a store: its annotations, loaded models and job runner, one of each per process and store."""

import atexit
import threading
from dataclasses import dataclass

import streamlit as st

from autointerp import settings
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import job_kinds
from autointerp.llm.secrets import Secret
from autointerp.pipeline.resources import Resources
from autointerp.store import Store
from autointerp.store.annotations import Annotations
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
        annotations = Annotations(store.path, read_only=settings.is_read_only())
        resources = Resources(store, annotations)
        if annotations.read_only:
            return Services(store, annotations, resources, None)

        def ended() -> None:
            resources.keys.drop_unused()
            freeze_later_imports()

        runner = JobRunner(annotations, job_kinds(resources), ended=ended)
        return Services(store, annotations, resources, runner.start())

    def close(self) -> None:
        if self.runner is not None:
            self.runner.close()
        self.annotations.close()


class _OpenServices:
    """Those of every store that a session of this process has looked at, by its path."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_path: dict[str, Services] = {}

    def of(self, store: Store) -> Services:
        key = str(store.path)
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


def annotations(store: Store) -> Annotations:
    """Raises StoreError."""
    return _open_services().of(store).annotations


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
