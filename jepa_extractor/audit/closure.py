"""Whether what looks alike to an encoder stays alike, whatever is done: then nothing is merged that must be apart."""

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.audit.neighbours import Pairs
from jepa_extractor.audit.separation import ByFuture

MOST_OTHERS = 0.02  # of what follows one group and one action, of the rewards of a group, or of all in no group
LEAST_GROUP = 5
LEAST_TRIED = 3  # times that each action was taken in each group


def gap(audit_set: AuditSet, pairs: Pairs) -> str:
    """Return in words why differences that the data does not show may be merged, "" if there can be none.

    Observations that a chain of neighbours joins are one group. If all of a group earned the same, and each action
    leads from a group to one group, the groups are a bisimulation (of the data): no sequence of actions, however long,
    tells two of one group apart. Each action must have been tried three times there: one time shows nothing of the
    group's others. Up to 2% of a group may be elsewhere, and groups of fewer than five are left out, if they hold at
    most 2% of all.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    required = audit_set.required
    assert isinstance(required, ByFuture)
    n, actions = len(audit_set), len(audit_set.action_names)
    edges = coo_array((np.ones(len(pairs.left), np.bool_), (pairs.left, pairs.right)), shape=(n, n))
    _, group = connected_components(edges, directed=False)
    alone = np.bincount(group)[group] < LEAST_GROUP
    if alone.mean() > MOST_OTHERS:
        return "too much of it looks like nothing else, so that what may follow is not known"
    acted = np.flatnonzero((audit_set.actions >= 0) & ~alone & ~np.roll(alone, -1))
    step = group[acted] * actions + audit_set.actions[acted]  # of which group, by which action
    earned = required.labels()
    known = np.flatnonzero((earned >= 0) & ~alone)
    if required.auxiliary == "reward":
        same = _are_one(group[known], earned[known])
    else:
        same = _are_one(step, earned[acted + 1])
    if not same:
        return "what looks alike did not always earn the same"
    if not _are_one(step, group[acted + 1]):
        return "what looks alike is not always followed by what looks alike, so that it may differ later"
    goes_on = np.unique(group[acted])
    tried = np.unique(step, return_counts=True)[1]
    seen_through = len(tried) == len(goes_on) * actions and tried.min() >= LEAST_TRIED
    if not seen_through or not np.isin(group[~audit_set.ends & ~alone], goes_on).all():
        return f"not every action was tried {LEAST_TRIED} times in each group of observations that look alike"
    return ""


def _are_one(groups: NDArray[np.int64], values: NDArray[np.int64]) -> bool:
    """Return whether the ``values`` (m,) of each of ``groups`` (m,) are one, but for 2% of the group."""
    both, counts = np.unique(np.stack([groups, values], axis=1), axis=0, return_counts=True)
    _, place = np.unique(both[:, 0], return_inverse=True)
    most = np.zeros(place.max() + 1, np.int64)
    np.maximum.at(most, place, counts)
    others = np.bincount(place, counts) - most
    return bool((others <= MOST_OTHERS * np.bincount(place, counts)).all())
