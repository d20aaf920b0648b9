"""What the pages write with: a store's annotations, its resources and its job runner, one of each per process and store."""

import atexit
import threading
from dataclasses import dataclass

import streamlit as st

from autointerp import settings
from autointerp.jobs import JobRunner
from autointerp.jobs.kinds import job_kinds
from autointerp.llm import Secret
from autointerp.pipeline.resources import Resources
from autointerp.store import Store
from autointerp.store.annotations import Annotations


@dataclass(frozen=True)
class Office:
    """`runner` is `None` where nothing can be written."""

    store: Store
    annotations: Annotations
    resources: Resources
    runner: JobRunner | None

    def close(self) -> None:
        if self.runner is not None:
            self.runner.close()
        self.annotations.close()


class _Offices:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Office] = {}

    def of(self, store: Store) -> Office:
        key = str(store.path)
        with self._lock:
            office = self._open.get(key)
            if office is not None and office.store is not store:
                # The store was built anew in the same place: its old annotations are no longer there.
                office.close()
                office = None
            if office is None:
                office = self._open[key] = _open(store)
            return office

    def forget_key(self, key: Secret) -> None:
        with self._lock:
            benches = [office.resources for office in self._open.values()]
        for resources in benches:
            resources.keys.forget(key)

    def close(self) -> None:
        with self._lock:
            for office in self._open.values():
                office.close()
            self._open.clear()


def _open(store: Store) -> Office:
    annotations = Annotations(store.path, read_only=settings.is_read_only())
    resources = Resources(store, annotations)
    runner = (
        None
        if annotations.read_only
        else JobRunner(annotations, job_kinds(resources), ended=resources.keys.drop_unused).start()
    )
    return Office(store, annotations, resources, runner)


@st.cache_resource(show_spinner=False)
def _offices() -> _Offices:
    offices = _Offices()
    atexit.register(offices.close)
    return offices


def office(store: Store) -> Office:
    """Everything at once. Raises StoreError."""
    return _offices().of(store)


def annotations(store: Store) -> Annotations:
    """Raises StoreError."""
    return office(store).annotations


def resources(store: Store) -> Resources:
    """Raises StoreError."""
    return office(store).resources


def forget_key(key: Secret) -> None:
    """Drop a typed key from the memory of this process, or at the end of the work that was started with it, in every store.
    Raises StoreError."""
    _offices().forget_key(key)


def runner(store: Store) -> JobRunner | None:
    """Works in the background from the first call on; `None` in a read-only store. Raises StoreError."""
    return office(store).runner
