"""What holds for every option, seed and sequence of actions, searched by hypothesis; and exact distributions."""

import functools
import itertools

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats

from counting_env import SHAPES, CountingEnv, CountingVectorEnv, count_mdp
from counting_env.kernels import BRIGHTEST, DARKEST, PITCH, RADIUS, SIZE
from tests.environment.option_sets import option_sets, searched, seeds

NUM_ENVS = 6
STEPS = 10


def play(seed, mode=AutoresetMode.NEXT_STEP, copy=True, **options):
    """Yield (actions, result) of a reset (actions None) and of ``STEPS`` steps with actions drawn from ``seed``."""
    env = CountingVectorEnv(NUM_ENVS, autoreset_mode=mode, copy=copy, **options)
    observations, info = env.reset(seed=seed)
    nothing = np.zeros(NUM_ENVS)
    yield None, (observations, nothing, nothing.astype(bool), nothing.astype(bool), info)
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        actions = rng.integers(0, 2, NUM_ENVS)
        yield actions, env.step(actions)


@searched
@given(options=option_sets(background="black"), seed=seeds)
def test_components_equal_count(options, seed):
    """On black, components equal the count; positions lie in the image and boxes do not touch."""
    for _, (observations, *_, info) in play(seed, **options):
        for image, count, positions in zip(observations, info["count"], info["positions"], strict=True):
            assert ndimage.label(image.any(axis=-1), np.ones((3, 3)))[1] == count
            assert (positions[count:] == -1).all()
            assert (positions[:count] >= RADIUS).all()
            assert (positions[:count] < options["image_size"] - RADIUS).all()
            for a, b in itertools.combinations(positions[:count], 2):
                assert np.abs(a - b).max() >= PITCH


@searched
@given(options=option_sets(), seed=seeds, mode=st.sampled_from([AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]))
def test_replays_are_byte_identical(options, seed, mode):
    """Replays are byte-identical, whether arrays are copied or not."""
    replay = play(seed, mode, copy=False, **options)
    for (_, first), (_, second) in zip(play(seed, mode, **options), replay, strict=True):
        for ours, theirs in zip(first[:4], second[:4], strict=True):
            assert ours.tobytes() == theirs.tobytes()
        assert first[4].keys() == second[4].keys()
        for key in ("count", "color", "positions", "is_success", "state"):
            assert first[4][key].tobytes() == second[4][key].tobytes()
        assert (first[4]["shape"] == second[4]["shape"]).all()


@searched
@given(
    options=option_sets(
        placement="persist", background="black", terminate_on_target=False, max_episode_steps=99, wrap=False
    ),
    seed=seeds,
)
def test_persist_changes_exactly_one_box(options, seed):
    """persist: an add puts one new object down, a remove takes the last; nothing outside its box changes."""
    before = None
    for _, (observations, *_, info) in play(seed, **options):
        if before is not None:
            for i in range(NUM_ENVS):
                (old_image, old_count, old_places) = (before[0][i], before[1][i], before[2][i])
                image, count, places = observations[i], info["count"][i], info["positions"][i]
                changed = (image != old_image).any(axis=-1)
                shared = min(count, old_count)
                np.testing.assert_array_equal(places[:shared], old_places[:shared])
                if count != old_count:
                    row, column = places[count - 1] if count > old_count else old_places[old_count - 1]
                    box = (slice(row - RADIUS, row + RADIUS + 1), slice(column - RADIUS, column + RADIUS + 1))
                    assert changed[box].any()
                    changed[box] = False
                assert not changed.any()
        before = observations, info["count"], info["positions"]


@searched
@given(options=option_sets(), seed=seeds)
def test_single_and_batch_agree(options, seed):
    """The same scene gives the same bytes in the single environment and in the batch."""
    limit = options.pop("max_episode_steps")
    singles = [CountingEnv(**options) for _ in range(NUM_ENVS)]
    over = np.zeros(NUM_ENVS, bool)
    for actions, (observations, rewards, terminations, truncations, info) in play(
        seed, max_episode_steps=limit, **options
    ):
        for i, env in enumerate(singles):
            if actions is None:
                image, single_info = env.reset(seed=seed + i)
            elif over[i]:
                image, single_info = env.reset()
            else:
                image, reward, terminated, _, single_info = env.step(actions[i])
                assert (reward, terminated) == (rewards[i], terminations[i])
            assert image.tobytes() == observations[i].tobytes()
            assert single_info["positions"].tobytes() == info["positions"][i].tobytes()
            assert single_info["state"] == info["state"][i]
        over = terminations | truncations


MANY = 20_000
ENOUGH = 1e-4  # smallest p-value accepted; seeds are fixed, so a test that passes passes always


@functools.cache
def sample_starts(kind):
    """Return infos of ``MANY`` starts, of single environments or of a batch."""
    if kind == "batch":
        env = CountingVectorEnv(100, image_size=32)
        infos = [env.reset(seed=5 if i == 0 else None)[1] for i in range(MANY // 100)]
        return {key: np.concatenate([info[key] for info in infos]) for key in infos[0]}
    single = CountingEnv(image_size=32)
    infos = [single.reset(seed=5 if i == 0 else None)[1] for i in range(MANY)]
    return {key: np.array([info[key] for info in infos]) for key in infos[0]}


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_distribution_of_starts(kind):
    """Start count, shape and colour are uniform, against exact expectations, in single and batch."""
    info = sample_starts(kind)
    assert stats.chisquare(np.bincount(info["count"], minlength=9)).pvalue > ENOUGH
    shapes = [np.sum(info["shape"] == name) for name in SHAPES]
    assert sum(shapes) == MANY
    assert stats.chisquare(shapes).pvalue > ENOUGH
    for channel in range(3):
        levels = np.bincount(info["color"][:, channel] - DARKEST)
        assert len(levels) == BRIGHTEST - DARKEST + 1
        assert stats.chisquare(levels).pvalue > ENOUGH


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_distribution_of_positions(kind):
    """The first object's place is uniform on all places, and the second's on those clear of the first."""
    info = sample_starts(kind)
    side = 32 - SIZE + 1
    few = info["count"] <= 2  # where random places nearly always suffice
    first = info["positions"][few & (info["count"] >= 1), 0] - RADIUS
    assert stats.chisquare(np.bincount(first @ [side, 1], minlength=side**2)).pvalue > ENOUGH
    places = np.moveaxis(np.mgrid[:side, :side], 0, -1).reshape(-1, 2)
    clear = (np.abs(places[:, None] - places[None]) >= PITCH).any(axis=-1)
    chance = (clear / clear.sum(axis=1, keepdims=True)).mean(axis=0)  # of each place for the second object
    second = info["positions"][info["count"] == 2, 1] - RADIUS
    rows = np.bincount(second[:, 0], minlength=side)
    assert stats.chisquare(rows, chance.reshape(side, side).sum(axis=1) * len(second)).pvalue > ENOUGH


def exact_success(policy, limit=4, max_count=8, target=4):
    """Return the chance that an episode arrives at the target, by enumerating counts and actions."""
    successors, _ = count_mdp(max_count, target)
    going = np.full(max_count + 1, 1 / (max_count + 1))
    success = 0.0
    for _ in range(limit):
        after = np.zeros_like(going)
        for count, action in itertools.product(range(max_count + 1), (0, 1)):
            after[successors[count, action]] += going[count] * policy(count)[action]
        success += after[target]
        after[target] = 0
        going = after
    return success


POLICIES = {
    "random": lambda count: (0.5, 0.5),
    "add": lambda count: (0.0, 1.0),
    "perfect": lambda count: (float(count >= 4), float(count < 4)),
}


@pytest.mark.parametrize("kind", ["single", "batch"])
@pytest.mark.parametrize("name", POLICIES)
def test_returns_of_fixed_policies(name, kind):
    """Returns under fixed policies agree with exact expectations, in single and batch."""
    rng = np.random.default_rng(0)
    adds = np.array([POLICIES[name](count)[1] for count in range(9)])
    episodes = 1_000 if kind == "batch" else 3_000
    if kind == "batch":
        env = CountingVectorEnv(episodes, image_size=32, autoreset_mode=AutoresetMode.NEXT_STEP)
        counts = env.reset(seed=1)[1]["count"]
        returns, running = np.zeros(episodes), np.ones(episodes, bool)
        while running.any():
            actions = (rng.random(episodes) < adds[counts]).astype(int)
            _, rewards, terminations, truncations, info = env.step(actions)
            returns += rewards * running
            running &= ~(terminations | truncations)
            counts = info["count"]
    else:
        one = CountingEnv(image_size=32)
        returns = np.zeros(episodes)
        for episode in range(episodes):
            count = one.reset(seed=1 if episode == 0 else None)[1]["count"]
            for _ in range(4):
                _, reward, terminated, _, info = one.step(int(rng.random() < adds[count]))
                count = info["count"]
                returns[episode] += reward
                if terminated:
                    break
    expected = exact_success(POLICIES[name])
    if expected in (0, 1):
        assert returns.mean() == expected
    else:
        assert stats.binomtest(int(returns.sum()), episodes, expected).pvalue > ENOUGH
