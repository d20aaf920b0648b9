"""What a run of a page costs where many people click: nothing that walks or reads for all of them each time."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import streamlit as st

from autointerp.ui.shared import roles


def test_nothing_is_collected_after_every_run() -> None:
    assert st.get_option("runner.postScriptGC") is False


class Secrets(dict):
    asked = 0

    def load_if_toml_exists(self) -> bool:
        self.asked += 1
        return bool(self)


def test_the_files_of_secrets_are_looked_for_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, secrets = 10**6, Secrets()
    monkeypatch.setattr(roles.st, "secrets", secrets)
    monkeypatch.setattr(roles, "time", SimpleNamespace(monotonic=lambda: now))
    assert not any(roles.has_sign_in() for _ in range(30))
    assert secrets.asked == 1
    secrets["auth"] = {"client_id": "x"}  # the owner has configured it since
    now += 1
    assert roles.has_sign_in()


def test_a_sign_in_is_known_in_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files to download are made outside of a page's run."""
    monkeypatch.setattr(roles.st, "secrets", Secrets(auth={"client_id": "x"}))
    monkeypatch.setattr(roles, "time", SimpleNamespace(monotonic=lambda: 2 * 10**6))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(roles.has_sign_in).result()
        assert not pool.submit(roles.is_owner).result()
