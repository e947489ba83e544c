"""From runs to numbers with their 95% intervals: SciPy's, and rliable's (Agarwal et al., arXiv 2108.13264)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rliable.library import get_interval_estimates
from scipy import stats

RESAMPLES = 2_000  # of a bootstrap

Values = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate and the ends of its 95% interval."""

    value: float
    low: float
    high: float


def student(values: Sequence[float] | Values) -> Interval:
    """Return the mean of values (n,) and its interval by Student's t; with one value, no more than this."""
    mean, count = float(np.mean(values)), len(values)
    reach = float(stats.sem(values) * stats.t.ppf(0.975, count - 1)) if count > 1 else 0.0
    return Interval(mean, mean - reach, mean + reach)


def paired(one: Mapping[str, float], other: Mapping[str, float]) -> Interval | None:
    """Return the mean difference of two measures over the seeds that both have; ``None`` with fewer than two."""
    differences = [one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]
    return student(differences) if len(differences) > 1 else None


def interquartile_mean(values: Values, axis: int = -1) -> Values:
    """Return the means over an axis without its lowest and highest quarter, rounded down."""
    return np.asarray(stats.trim_mean(values, 0.25, axis=axis))


def interquartile(values: Values) -> Interval:
    """Return the interquartile mean of values (n,) and its percentile bootstrap interval, of 9,999 resamples."""
    mean = float(interquartile_mean(values))
    if np.ptp(values) == 0:  # one seed, or equal values: nothing to resample
        return Interval(mean, mean, mean)
    rng = np.random.default_rng(0)
    found = stats.bootstrap((values,), interquartile_mean, method="percentile", rng=rng).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def stratified(measure: Callable[..., float], *of: Values) -> Interval:
    """Return ``measure`` of one matrix (runs, tasks), or of two, and its stratified bootstrap interval.

    It is always the same: rliable draws from NumPy's global generator, which is seeded for a while.
    """
    with _seeded():
        points, intervals = get_interval_estimates(
            {"it": list(of) if len(of) > 1 else of[0]},
            lambda *resampled: np.array([measure(*resampled)]),
            reps=RESAMPLES,
        )
    return Interval(float(points["it"][0]), float(intervals["it"][0, 0]), float(intervals["it"][1, 0]))


def rank_correlation(rows: Sequence[tuple[str, float, float]]) -> Interval:
    """Return Spearman's correlation of (cluster, x, y), and its interval over resampled clusters.

    It is not a number where all ``x``, or all ``y``, are equal.
    """
    by_cluster: dict[str, list[tuple[float, float]]] = {}
    for cluster, x, y in rows:
        by_cluster.setdefault(cluster, []).append((x, y))
    clusters = list(by_cluster.values())
    correlation = _spearman([pair for pairs in clusters for pair in pairs])
    if np.isnan(correlation):
        return Interval(correlation, correlation, correlation)
    draws = np.random.default_rng(0).integers(len(clusters), size=(RESAMPLES, len(clusters)))
    resampled = [_spearman([pair for i in drawn for pair in clusters[i]]) for drawn in draws]
    return Interval(correlation, *map(float, np.nanquantile(resampled, (0.025, 0.975))))


def _spearman(pairs: list[tuple[float, float]]) -> float:
    x, y = np.transpose(pairs) if pairs else np.empty((2, 0))
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return float("nan")  # nothing to rank
    return float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])  # faster than spearmanr's p-value


@contextmanager
def _seeded() -> Iterator[None]:
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
