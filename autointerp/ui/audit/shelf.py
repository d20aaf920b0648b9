"""What the next items need, read ahead while a person still looks at this one: the next step is then there at once."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock

import streamlit as st

from autointerp.audit import evidence
from autointerp.audit.order import Entry
from autointerp.pipeline.resources import Resources
from autointerp.ratings import Audit
from autointerp.records import config_hash
from autointerp.score.plan import Plan
from autointerp.types import Example, Group
from autointerp.ui.shared.feature_data import Feature

KEPT = 64


@dataclass(frozen=True)
class Shown:
    """What is shown of one entry: contexts for a verdict, questions for a judge's task."""

    feature: Feature
    groups: Mapping[Group, Sequence[Example]] | None = None
    plan: Plan | None = None
    _further: dict[tuple[Group, int], list[Example]] = field(default_factory=dict)

    def further(
        self, resources: Resources, audit: Audit, entry: Entry, group: Group, page: int
    ) -> list[Example]:
        """Page `page` of a group, from 1, kept."""
        if (group, page) not in self._further:
            item = audit.items[entry.item]
            self._further[group, page] = evidence.more(resources, audit, item, group, page)
        return self._further[group, page]

    @property
    def plan_id(self) -> str:
        """Of the questions: an answer to others must not be taken for one to these."""
        items = self.plan.items if self.plan else ()
        windows = [(item.window.example.context, item.window.example.start, item.marks) for item in items]
        return config_hash({"items": windows})[:16]


class Shelf:
    """The entries read last, by store, audit, item and task. Thread-safe; one thread reads ahead."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], Future[Shown]] = OrderedDict()
        self._lock = Lock()
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="audit-ahead")

    def get(self, resources: Resources, audit: Audit, entry: Entry) -> Shown:
        """Raises UserError: there is nothing to show, for example because the explanation was removed."""
        key = _key(resources, audit, entry)
        with self._lock:
            future = self._kept.pop(key, None)
            mine = future is None or future.cancel()  # still waiting behind others: not to wait with it
            future = Future() if mine or future is None else future
            self._keep(key, future)
        if mine:
            _run(future, resources, audit, entry)
        if future.exception() is not None:
            with self._lock:
                self._kept.pop(key, None)  # it may be there the next time
        return future.result()

    def ahead(self, resources: Resources, audit: Audit, entries: Sequence[Entry]) -> None:
        """Begin to read these, unless they are there."""
        with self._lock:
            for entry in entries:
                key = _key(resources, audit, entry)
                if key not in self._kept:
                    self._keep(key, self._ahead.submit(_read, resources, audit, entry))

    def _keep(self, key: tuple[str, ...], future: "Future[Shown]") -> None:
        self._kept[key] = future
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


@st.cache_resource(show_spinner=False)
def shelf() -> Shelf:
    """The process's own."""
    return Shelf()


def _key(resources: Resources, audit: Audit, entry: Entry) -> tuple[str, ...]:
    coder = audit.items[entry.item].coder
    made = next((info.created for info in resources.store.coders() if info.coder == coder), "")
    return str(resources.store.path), made, audit.id, str(entry.item), entry.task


def _run(future: "Future[Shown]", resources: Resources, audit: Audit, entry: Entry) -> None:
    try:
        future.set_result(_read(resources, audit, entry))
    except BaseException as error:
        future.set_exception(error)


def _read(resources: Resources, audit: Audit, entry: Entry) -> Shown:
    item = audit.items[entry.item]
    coder = resources.store.coder(item.coder)
    activations = resources.activations.get(coder, item.latent)
    feature = Feature(
        resources.store, coder, item.latent, coder.all_stats(item.latent, activations), activations, None
    )
    if entry.task == "verdict":
        return Shown(feature, groups=evidence.contexts(resources, audit, item))
    return Shown(feature, plan=evidence.questions(resources, audit, item, entry.task))
