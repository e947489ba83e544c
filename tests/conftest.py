"""Small tensors: more threads than one only wait for each other. Processes that tests start inherit this."""

import os
import sys

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported


@pytest.fixture(autouse=True)
def _one_thread():
    """Undo what a test does to torch's number of threads."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
