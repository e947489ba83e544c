"""Fits of the transition that take no time."""

import pytest

from jepa_extractor import fit_transition
from jepa_extractor.train import pretraining


@pytest.fixture(autouse=True)
def _short_fit(monkeypatch):
    """Fit the transition in 20 updates unless a test says otherwise."""

    def fit(jepa, transitions, updates, *rest):
        fit_transition(jepa, transitions, min(updates, 20), *rest)

    monkeypatch.setattr(pretraining, "fit_transition", fit)
