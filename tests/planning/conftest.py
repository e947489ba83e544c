"""Small tensors: more threads than one only wait for each other. The studies live beside the examples, no package."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))


@pytest.fixture(autouse=True)
def _threads():
    torch.set_num_threads(1)
