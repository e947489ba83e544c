"""Scenes that the tests share."""

import pytest

from studies.scenes import make_scenes


@pytest.fixture(scope="session")
def scenes():
    return make_scenes(max_count=8, seed=1)
