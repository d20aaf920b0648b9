"""What is drawn together sees the files of one moment."""

import shutil

import pytest

from autointerp.errors import UnknownName
from autointerp.store import Store, one_look


def test_the_files_are_looked_at_once(tiny_store: Store):
    coders = tiny_store.path / "coders"
    with one_look():
        assert len(tiny_store.coders()) == 2
        shutil.move(coders / "transcoder.duckdb", tiny_store.path / "away")
        with one_look():
            assert len(Store.open(tiny_store.path).coders()) == 2
        tiny_store.coder("transcoder")
    assert [info.coder for info in tiny_store.coders()] == ["sae"]
    with pytest.raises(UnknownName):
        tiny_store.coder("transcoder")
