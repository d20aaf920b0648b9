"""The user's settings file: written whole, read with care, and never with a key in it."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.preferences import Preferences, load, save
from autointerp.settings import ENV_CONFIG, config_file

FULL = Preferences(
    model="some/model:free",
    base_url="http://localhost:9/v1",
    max_in_flight=3,
    timeout=7.5,
    max_tokens=1000,
    max_cost=0.5,
    prices={"some/*": {"prompt": 0.1, "completion": 0.2, "cached": 0.01}},
    embedder="other",
)


def test_what_is_saved_is_loaded(tmp_path: Path):
    file = tmp_path / "new" / "settings.json"
    assert load(file) == Preferences()
    assert save(FULL, file) == file
    assert load(file) == FULL
    assert file.stat().st_mode & 0o077 == 0
    assert [path.name for path in file.parent.iterdir()] == ["settings.json"]


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(ENV_CONFIG, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_file() == tmp_path / "autointerp" / "settings.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")  # the specification says to ignore it
    assert config_file() == Path.home() / ".config" / "autointerp" / "settings.json"
    monkeypatch.setenv(ENV_CONFIG, str(tmp_path / "mine.json"))
    assert config_file() == tmp_path / "mine.json"


def test_what_another_version_wrote_is_kept(tmp_path: Path):
    file = tmp_path / "settings.json"
    file.write_text('{"model": "m", "from_the_future": [1]}')
    assert load(file).model == "m"
    save(replace(load(file), model="n"), file)
    assert json.loads(file.read_text())["from_the_future"] == [1]


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "null", "{", "\xff", '{"model": 3}', '{"max_in_flight": 0}', '{"max_in_flight": true}',
        '{"timeout": "fast"}', '{"timeout": NaN}', '{"max_cost": -1}', '{"prices": {"m": 3}}', '{"prices": []}',
        '{"base_url": "http://me:secret@host/v1"}', '{"base_url": "ftp://host"}', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_named_and_put_aside(tmp_path: Path, content: str):
    file = tmp_path / "settings.json"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"settings\.json"):
        load(file)
    save(FULL, file)
    assert load(file) == FULL


@pytest.mark.parametrize("where", ["model", "base_url"])
def test_a_key_in_the_wrong_field_is_refused_and_not_repeated(tmp_path: Path, where: str):
    key = "sk-proj-0123456789abcdef"
    with pytest.raises(UserError) as caught:
        save(replace(Preferences(), **{where: key}), tmp_path / "settings.json")
    assert key not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_of_the_folder(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=ENV_CONFIG):
        save(FULL, tmp_path / "file" / "settings.json")


@given(
    st.dictionaries(
        st.sampled_from([*FULL.llm_fields(), "embedder"]),
        st.none() | st.booleans() | st.integers() | st.text(),
    )
)
def test_any_values_load_or_say_why(tmp_path_factory: pytest.TempPathFactory, data: dict):
    file = tmp_path_factory.mktemp("any") / "settings.json"
    file.write_text(json.dumps(data))
    with suppress(UserError):
        assert isinstance(load(file), Preferences)
