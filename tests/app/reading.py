"""What a page shows, as AppTest sees it: messages, links, and the records fed to its elements."""

import json
from typing import Any

from streamlit.testing.v1 import AppTest

from autointerp.ui.shared import drafts, person
from tests.explained import Explained


def record(app: AppTest, name: str) -> dict[str, Any] | None:
    """The data of the element of this kind ("contexts", "panel", "list", "facts"), `None` where there is none."""
    found = records(app, name)
    return found[0] if found else None


def records(app: AppTest, name: str) -> list[Any]:
    """All of them, in the order of the page."""
    protos = [element.proto for element in app.get("bidi_component")]
    return [json.loads(proto.json) for proto in protos if proto.component_name == f"autointerp_{name}"]


def links(app: AppTest) -> list[str]:
    """Labels of the page's links, and of its suggestions after a wrong address."""
    suggested = [button.label for button in app.button if str(button.key).startswith("suggestion_")]
    return [element.proto.label for element in app.get("page_link")] + suggested


def messages(app: AppTest) -> str:
    """Everything said in warnings, errors, notes and captions."""
    parts = [*app.warning, *app.error, *app.info, *app.success, *app.caption, *app.title]
    return "\n".join(str(part.value) for part in parts)


def keys(app: AppTest) -> set[str]:
    """The keys of all buttons."""
    return {str(button.key) for button in app.button}


def page(open_page: Any, made: Explained, latent: int = 0, coder: str = "sae", **params: Any) -> AppTest:
    """The Feature page of a store with explanations."""
    return open_page(made.store, "feature", coder=coder, latent=str(latent), **params)


def draft(app: AppTest, text: str, latent: int = 0, parent: str | None = None, coder: str = "sae") -> AppTest:
    """Type an explanation of one's own, as the browser tells it; `parent`: the version that is edited."""
    app.session_state[drafts.TEXTS] = {drafts.name(coder, latent, parent): text}
    return app


def say_name(app: AppTest, name: str = "Ada") -> AppTest:
    """Answer the question who one is, which the page asks where it first needs to know."""
    return app.text_input(key=person.ASKED).input(name).run()


def card(app: AppTest) -> dict[str, Any]:
    """The record of the explanation shown on it."""
    assert not app.exception, app.exception
    drawn = record(app, "explanation")
    assert drawn is not None
    return drawn
