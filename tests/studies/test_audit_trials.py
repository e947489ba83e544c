"""The benchmark of the audit: encoders whose collapse is known."""

import numpy as np
import pytest

from jepa_extractor.audit import AuditSet
from studies import audit_trials as audit


def right(seeds):
    """How many of these trials were right, by kind of encoder; and the collapse indices of the faithful ones."""
    outcomes = [audit.trial(seed) for seed in seeds]
    faithful = [outcome[kind]["collapse_index"] for outcome in outcomes for kind in audit.FAITHFUL]
    return {kind: sum(outcome[kind]["right"] for outcome in outcomes) for kind in audit.KINDS}, faithful


def test_two_trials(monkeypatch):
    """What was merged is hit, nothing else is, and a faithful encoder has an index of 0."""
    monkeypatch.setattr(audit, "TRIAL_OBSERVATIONS", 1_000)
    counts, faithful = right((100, 101))
    assert counts == dict.fromkeys(audit.KINDS, 2)
    assert faithful == [0.0] * 4


@pytest.mark.slow
def test_hundred_trials():
    """In at least 95 of 100 trials."""
    counts, faithful = right(range(1_000, 1_100))
    assert min(counts.values()) >= 95
    assert np.sum(np.array(faithful).reshape(100, 2).max(axis=1) == 0) >= 95


def test_merged_pairs_are_those_with_one_place():
    """The truth that trials are held against: counts whose latents have the same mean."""
    counts = np.repeat(np.arange(9), 200)
    rng = np.random.default_rng(0)
    for kind, pairs in {"two merged": 1, "three merged": 3, "two and two merged": 2, "constant": 36}.items():
        made = audit.made_latents(kind, counts, rng)
        means = np.stack([made.latents[counts == count].mean(axis=0) for count in range(9)])
        close = np.linalg.norm(means[:, None] - means, axis=-1) < 0.1
        assert made.merged == {(i, j) for i in range(9) for j in range(i + 1, 9) if close[i, j]}
        assert len(made.merged) == pairs


def test_thin_data_says_what_it_may_miss():
    """Three actions tell 7 and 8 apart: in 400 observations of short episodes, a merge of them may go unseen."""
    audit_set = AuditSet.from_episodes(audit.counting_episodes(400, 0), audit.ACTIONS)
    assert "first differ after 3 actions or more may go unseen" in audit_set.coverage()
    assert audit_set.required.actions_seen() == 2
    counts = audit_set.labels["count"].astype(np.int64)
    assert audit.shares_told_apart(audit_set, counts)[7, 8] < audit.SEEN
