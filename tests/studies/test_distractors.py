"""What is forgotten that does not matter, and is it kept where it does?"""

import functools

import numpy as np
import pytest

from jepa_extractor import pretrain
from studies import distractors
from studies.distractors import CELL, HEIGHT, WORLD, paint
from studies.worlds import walks


def test_what_is_painted_can_be_read_off_the_image():
    """Bar and first light are where the labels say, and the bar moves on by one with each step."""
    painted = paint(walks(WORLD, 300, seed=0), "count", seed=0)
    images = np.concatenate([episode.observations for episode in painted.episodes])
    below, above = (part.min(axis=(1, 2)) == 255 for part in (images[:, :, -HEIGHT:], images[:, :, :HEIGHT]))
    np.testing.assert_array_equal(below[:, CELL // 2 :: CELL][:, :5].argmax(axis=1), painted.labels["bar"])
    np.testing.assert_array_equal(above[:, CELL // 2], painted.labels["light"])
    start = 0
    for episode in painted.episodes:
        bar = painted.labels["bar"][start : start + len(episode.observations)]
        assert (np.diff(bar) % 5 == 1).all()
        look = painted.labels["look"][start : start + len(episode.observations)]
        assert len(set(look[look >= 0])) <= 1, "the look stays for an episode"
        start += len(bar)


@pytest.mark.parametrize(
    ("reward", "matters"),
    [
        ("count", lambda labels: labels["count"] >= 0),
        ("bar", lambda labels: labels["bar"] < 2),
        ("light", lambda labels: labels["light"] == 1),
        ("look", lambda labels: labels["look"] == 0),
    ],
)
def test_what_is_rewarded(reward, matters):
    """Arriving at four is rewarded, if what matters is there."""
    painted = paint(walks(WORLD, 600, seed=1), reward, seed=1)
    expected = (painted.labels["count"] == 4) & matters(painted.labels)
    start = 0
    for episode in painted.episodes:
        end = start + len(episode.observations)
        np.testing.assert_array_equal(episode.rewards, expected[start + 1 : end])
        start = end
    assert expected.any()


@pytest.mark.parametrize("name", ["joint-bar", "untrained"])
@pytest.mark.slow
def test_a_run(name, tmp_path, monkeypatch):
    """A short run is the same if made again."""
    for constant, value in {"TRANSITIONS": 300, "READ": 300}.items():
        monkeypatch.setattr(distractors, constant, value)
    short = functools.partial(pretrain, updates=3)
    monkeypatch.setattr(distractors, "pretrain", short)
    first, again = (distractors.run(distractors.CONFIGURATIONS[name], 0, tmp_path / part) for part in "ab")
    assert first == again
    assert first["count"] > 0.3, "a ladder tells counts apart untrained"


def test_the_tables_and_the_figure(tmp_path):
    """Differences are paired by seed."""
    runs = {str(seed): dict.fromkeys(distractors.REWARDS, 0.5 + seed / 10) for seed in (0, 1)}
    less = {seed: {**run, "bar": run["bar"] - 0.25} for seed, run in runs.items()}
    text = distractors.table({"results": {"joint-count": less, "joint-bar": runs, "untrained": runs}})
    assert "| bar | -0.250 [-0.250, -0.250] | +0.250 [+0.250, +0.250] |" in text
    assert "| joint | count | 0.550 | 0.300 | 0.550 | 0.550 |" in text
    distractors.draw({"results": {"joint-count": less, "untrained": runs}}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5_000
