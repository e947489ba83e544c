"""Latents whose audit is known."""

import numpy as np

from jepa_extractor.audit.moments import Moment

HISTORY = [
    Moment(0, {"collapse_index": 0.9, "classes_kept": 1}),
    Moment(1_000, {"collapse_index": 0.4, "classes_kept": 4}),
    Moment(2_000, {"collapse_index": 0.1, "classes_kept": 7}),
]


def merged_latents(audit_set):
    """Latents in which 6, 7 and 8 are one."""
    counts = np.minimum(audit_set.labels["count"].astype(int), 6)
    noise = np.random.default_rng(0).normal(scale=0.05, size=(len(counts), 9))
    return (np.eye(9)[counts] + noise).astype(np.float32)


def faithful_latents(audit_set):
    """Latents in which each count is a point of its own."""
    return np.eye(9, dtype=np.float32)[audit_set.labels["count"].astype(int)]
