"""What a run of a page costs where many people click: nothing that walks or reads for all of them each time."""

from types import SimpleNamespace

import pytest
import streamlit as st

from autointerp.ui.shared import roles


def test_nothing_is_collected_after_every_run() -> None:
    assert st.get_option("runner.postScriptGC") is False


def test_the_files_of_secrets_are_looked_for_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked, signs_in = 10**6, 0, False

    def to_dict() -> dict[str, bool]:
        nonlocal asked
        asked += 1
        return {"is_logged_in": False} if signs_in else {}

    monkeypatch.setattr(roles.st, "user", SimpleNamespace(to_dict=to_dict))
    monkeypatch.setattr(roles, "time", SimpleNamespace(monotonic=lambda: now))
    assert not any(roles.has_sign_in() for _ in range(30))
    assert asked == 1
    signs_in = True  # the owner has configured it since
    now += 1
    assert roles.has_sign_in()
