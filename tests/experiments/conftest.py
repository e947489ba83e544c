"""The study lives beside the examples, which are no package."""

import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))


@pytest.fixture(scope="session")
def scenes():
    from paper.scenes import make_scenes

    return make_scenes(max_count=8, seed=1)
