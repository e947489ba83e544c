"""What holds for every test, and for the processes that it starts."""

import os
import signal
import sys

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: on small tensors, threads only wait for each other
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell makes its background jobs deaf to Ctrl-C


@pytest.fixture(autouse=True)
def _one_thread():
    """Undo what a test does to torch's number of threads."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
