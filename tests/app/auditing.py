"""An audit at which people sit, for tests of the Audit page: a browser's part, played by a record."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamlit.testing.v1 import AppTest

from autointerp.audit.draw import create
from autointerp.audit.options import AuditOptions
from autointerp.pipeline.resources import Resources
from autointerp.ratings import Audit, Rating
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.app.reading import messages


@dataclass
class Bench:
    """A store of its own for a test, with an audit of it."""

    store: Store
    annotations: Annotations
    resources: Resources
    audit: Audit

    def ratings(self, rater: str = "Ann") -> list[Rating]:
        return self.annotations.audits.ratings(self.audit.id, rater=rater)


def make(store: Store, annotations: Annotations, **options: Any) -> Bench:
    resources = Resources(store, annotations)
    chosen: dict[str, Any] = {
        "coders": ("sae", "tc"),
        "n": 8,
        "control_share": 0.25,
        "n_questions": 6,
    } | options
    audit = create(resources, AuditOptions(**chosen), name="Are they right?", author="Ann")
    annotations.audits.create(audit)
    return Bench(store, annotations, resources, audit)


@dataclass
class Browser:
    """What a browser does with the bar at the foot: draws what it is given, and sends what is pressed, or presses keys before
    it has drawn anew. `sent`: what it has kept as its state, which is told in every run until something else is."""

    app: AppTest
    drawn: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    act: dict[str, Any] | None = None

    def run(self) -> "Browser":
        self.app.run()
        assert not self.app.exception, self.app.exception
        return self

    def answer(self, **more: Any) -> "Browser":
        data = self.drawn
        said = {"confidence": None, "note": "", "tags": "", "seconds": 2.0, "revealed": False}
        self.state["answer"] = {**said, "id": data["id"], **data["entry"], "revises": data["revises"], **more}
        return self.run()

    def press(self, name: str) -> "Browser":
        self.act = {
            "act": name,
            "place": self.drawn["place"],
            "about": self.drawn["ended" if name == "last" else "last"],
        }
        return self.run()


Sit = Callable[..., Browser]


def said(app: AppTest) -> str:
    """What it says, without the marks that keep it from being read as Markdown."""
    return messages(app).replace("\\", "")


def everything(app: AppTest) -> str:
    """All that a run sent to the browser, as text."""
    return "\n".join(str(element.proto) for element in _elements(app.main)) + str(app.main)


def _elements(block: Any) -> list[Any]:
    children = getattr(block, "children", None)
    if children is None:
        return [block]
    return [element for child in children.values() for element in _elements(child)]
