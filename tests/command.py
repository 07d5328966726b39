"""The command in process: fixtures of conftest.py."""

import re

import numpy as np
import pytest

from kiyas.cli import main
from kiyas.encode.base import CallableEncoder
from kiyas.measures import list_measures

LETTERS = "abcdefghijklmnop"


class Letters(CallableEncoder):
    """Counts of letters: an encoder without a model."""

    def __init__(self):
        super().__init__(lambda texts: [[t.lower().count(c) for c in LETTERS] for t in texts], "wordllama", "stub",
                         dims=len(LETTERS), count_tokens=None)

    def count_tokens(self, texts):
        return np.array([len(t.split()) for t in texts], np.int64)


def assert_one_prefix(err, argv):
    """The command once, a colon, the message; the names of classes and functions are not a person's."""
    where, _, text = err.partition(": ")
    assert where == "kiyas" or where.split()[1:] == [str(a) for a in argv[:len(where.split()) - 1]]
    assert not text.startswith("kiyas")
    owner = text.partition(": ")[0]
    assert owner in list_measures() or not re.fullmatch(r"[A-Z]\w+(\.\w+)*|[a-z]+(_[a-z]+)+", owner), text


@pytest.fixture
def stub_encoder(monkeypatch):
    """Every encoder by name is `Letters`."""
    monkeypatch.setattr("kiyas.encode._by_name", lambda spec: Letters())


@pytest.fixture
def run(capsys):
    """Runs a command in process and gives what it printed: on standard output, or its one line of an error."""
    def call(*argv, code=0):
        got = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        assert got == code, err or out
        assert "Traceback" not in err
        if code:
            assert err.count("\n") == 1
            assert_one_prefix(err, argv)
        else:
            assert err == ""
        return out if code == 0 else err
    return call
