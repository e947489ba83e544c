"""No test of environments opens a window."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def no_display():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDL_VIDEODRIVER", "dummy")
        yield
