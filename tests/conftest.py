import os

import pytest
from command import run, stub_encoder  # noqa: F401  fixtures
from hypothesis import settings

from kiyas import kernels

# Scripts that made the golden files with the frameworks, which are not installed here.
collect_ignore_glob = ["golden/*"]

# The same examples every run: a failure seen once is seen again.
settings.register_profile("kiyas", derandomize=True, deadline=None)
settings.load_profile("kiyas")


@pytest.fixture
def small_codes(monkeypatch):
    """Codes are scanned whatever the number of dimensions."""
    monkeypatch.setattr(kernels, "LEAST_DIMS", 1)


@pytest.fixture(params=kernels.levels())
def every_level(request, monkeypatch):
    """Each instruction level this machine has."""
    monkeypatch.setenv(kernels.LEVEL_VARIABLE, request.param)
    return request.param


@pytest.fixture(autouse=True)
def no_level_from_outside(monkeypatch):
    """Tests choose the level themselves."""
    if kernels.LEVEL_VARIABLE in os.environ:
        monkeypatch.delenv(kernels.LEVEL_VARIABLE)
