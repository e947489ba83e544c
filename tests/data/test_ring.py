"""The ring of transitions, by itself."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jepa_extractor import Episode, TransitionRing
from jepa_extractor.data import Step

PIXEL, ACTION = spaces.Box(0, 255, (1, 1, 1), np.uint8), spaces.Discrete(2)


def fill(ring, lengths):
    """Store episodes of the given lengths in one environment; frames are numbered in the order they are seen."""
    frame = 0
    ring.begin(frames(frame))
    for length in lengths:
        for step in range(length):
            ended = step == length - 1
            ring.add(
                Step(
                    actions=np.array([frame % 2]),
                    rewards=np.array([float(frame)]),
                    terminated=np.array([ended]),
                    ended=np.array([ended]),
                    arrived=frames(frame + 1),
                    restarted=frames(frame + 2),
                )
            )
            frame += 2 if ended else 1


def frames(number):
    return np.full((1, 1, 1, 1), number, np.uint8)


def make(capacity=50, seed=0):
    return TransitionRing(PIXEL, ACTION, 1, capacity, seed)


def test_each_frame_is_stored_once():
    """20 frames hold episodes of 3 and 4 steps and more: frames = steps + one for each episode."""
    ring = make(capacity=20)
    fill(ring, [3, 4, 4, 4])  # 15 steps, 4 last frames, and the frame at which the next step will be taken
    assert len(ring) == 15
    batch = ring.newest(100)
    assert sorted({int(v) for v in batch.observations.numpy().ravel()}) == list(range(19))


def test_no_transition_crosses_an_end():
    """The next observation of an episode's last step is its last frame, never the next episode's first."""
    ring = make()
    fill(ring, [1, 2, 1, 3])
    batch = ring.newest(100)
    first, then = batch.observations.numpy()[:, 0].ravel(), batch.observations.numpy()[:, 1].ravel()
    assert np.array_equal(then, first + 1)
    assert list(first) == [0, 2, 3, 5, 7, 8, 9]


def test_stretches_stop_at_the_end_of_an_episode():
    """For k > 1, steps beyond the episode's end, and those not yet taken, are masked."""
    ring = make()
    fill(ring, [2, 3])
    batch = ring._stretch(np.zeros(5, int), np.array([0, 1, 3, 4, 5]), horizon=3)
    expected = [[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 0]]
    assert np.array_equal(batch.mask, np.array(expected, bool))


def test_a_full_ring_forgets_the_oldest():
    """After wrapping, only the newest frames are drawn, all transitions still right."""
    ring = make(capacity=10)
    fill(ring, [3] * 30)
    batch = ring.sample(1000)
    first, then = batch.observations.numpy()[:, 0].ravel(), batch.observations.numpy()[:, 1].ravel()
    assert np.array_equal(then, first + 1)
    assert batch.mask.all()
    assert first.min() >= 120 - 10
    assert set(first % 4) == {0, 1, 2}  # every fourth frame is an episode's last


def test_uniform_over_transitions():
    """Batches are uniform over the stored transitions (chi-square by hand, 8 degrees of freedom)."""
    ring = make()
    fill(ring, [1, 2, 3, 3])
    first = ring.sample(9000).observations.numpy()[:, 0].ravel()
    counts = np.bincount(first)[np.unique(first)]
    assert len(counts) == 9
    assert ((counts - 1000) ** 2 / 1000).sum() < 26.1  # p = 0.001


def test_rewarded_fraction():
    """rewarded_fraction: that part of a batch starts at a step with a reward, uniformly; the rest is as without."""
    ring = make(capacity=80)
    fill(ring, [30, 30])
    ring._rewards[0, :] = 0
    ring._rewards[0, [4, 40, 30]] = (1, -1, 1)  # frame 30 is an episode's last: no step begins there
    drawn = ring.sample(4000, rewarded_fraction=0.25)
    first = drawn.observations.numpy()[:, 0].ravel()
    assert set(first[:1000]) == {4, 40}
    assert abs((first[:1000] == 4).sum() - 500) < 60  # 3.8 standard deviations
    assert (drawn.rewards[:1000] != 0).all()
    assert len(set(first[1000:])) == 60
    assert (first[1000:] == 4).sum() < 110  # about 50


def test_rewarded_fraction_without_rewards():
    """Where no step is rewarded yet, a batch is drawn as if there were no rewarded_fraction."""
    draws = []
    for fraction in (0.0, 0.5):
        ring = make()
        fill(ring, [3, 3])
        ring._rewards[:] = 0
        draws.append(ring.sample(50, rewarded_fraction=fraction).observations.numpy().tobytes())
    assert draws[0] == draws[1]


def test_own_generator():
    """Same seed, same batches; another seed, other batches."""
    draws = []
    for seed in (1, 1, 2):
        ring = make(seed=seed)
        fill(ring, [3, 3, 3])
        draws.append(ring.sample(50).observations.numpy().tobytes())
    assert draws[0] == draws[1] != draws[2]


def test_a_new_stretch_breaks_the_old():
    """begin, as after a reset from outside, leaves no transition across it."""
    ring = make()
    fill(ring, [3])
    ring.begin(frames(100))
    assert len(ring) == 3
    assert 100 not in ring.newest(50).observations.numpy()


def test_empty_ring():
    """Drawing from an empty ring is an error, also where stretches were begun and nothing was done."""
    ring = make()
    with pytest.raises(ValueError, match="no transition"):
        ring.sample(1)
    step = Step(np.array([0]), np.array([1.0]), np.array([False]), np.array([False]), frames(1), frames(1))
    with pytest.raises(RuntimeError, match=r"call begin\(observations\) before the first add"):
        ring.add(step)
    ring.begin(frames(0))
    ring.begin(frames(1))
    assert not ring
    with pytest.raises(ValueError, match="no transition"):
        ring.sample(1)


def test_observations_of_another_shape():
    """What belongs to one environment is not taken for all of them."""
    ring = TransitionRing(PIXEL, ACTION, 2, 50, seed=0)
    with pytest.raises(ValueError, match=r"have the shape \(1, 1, 1, 1\): this ring takes \(2, 1, 1, 1\)"):
        ring.begin(frames(0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 1, "horizon": 0}, "horizon=0"),
        ({"batch_size": 1, "rewarded_fraction": 2}, "rewarded_fraction=2"),
    ],
)
def test_bad_draws(arguments, message):
    """Arguments out of range are named."""
    ring = make()
    fill(ring, [3])
    with pytest.raises(ValueError, match=message):
        ring.sample(**arguments)
    with pytest.raises(ValueError, match="count=0"):
        ring.newest(0)


def test_an_interrupt_leaves_no_false_transition(monkeypatch):
    """After an interrupt while frames are written, no transition leads to a frame that was never written."""
    ring = make()
    fill(ring, [3])
    append = ring._append

    def interrupted(*arguments):
        append(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(ring, "_append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(ring, [3])
    monkeypatch.undo()
    fill(ring, [3])
    for stretch in ring.newest(50).observations.numpy().reshape(-1, 2).astype(int):
        assert stretch[1] == stretch[0] + 1


def test_capacity_too_small():
    """A buffer that cannot hold one transition for each environment is an error that says how much it takes."""
    with pytest.raises(ValueError, match="capacity=11 is not an integer of at least 12"):
        TransitionRing(PIXEL, ACTION, 4, 11, 0)


DICT = spaces.Dict({"place": spaces.Box(-9, 9, (2,), np.float32), "mode": spaces.Discrete(5)})


def dict_frames(number):
    return {"place": np.full((1, 2), number, np.float32), "mode": np.array([number % 5])}


def test_dict_observations():
    """Dict observations are stored and drawn key by key, each with its own shape and dtype."""
    ring = TransitionRing(DICT, ACTION, 1, 50, seed=0)
    ring.begin(dict_frames(0))
    for frame in range(7):
        never = np.zeros(1, np.bool_)
        ring.add(Step(np.array([1]), np.array([0.5]), never, never, dict_frames(frame + 1), dict_frames(0)))
    batch = ring.sample(40, horizon=2)
    assert batch.observations["place"].shape == (40, 3, 2)
    assert batch.observations["mode"].dtype == torch.int64
    assert torch.equal(batch.observations["place"][..., 0].long() % 5, batch.observations["mode"])
    steps = batch.observations["place"].diff(dim=1)[..., 0]
    assert (steps[batch.mask] == 1).all()
    again = TransitionRing(DICT, ACTION, 1, 50, seed=1)
    again.restore(ring.state())
    assert again.digest() == ring.digest()
    assert torch.equal(again.sample(9).observations["place"], ring.sample(9).observations["place"])


def test_labels_are_optional_and_unknown_before_they_are_first_seen():
    """A ring holds the labels it is given, by name; an observation without one has NaN."""
    ring = make()
    ring.begin(frames(0))
    never = np.zeros(1, np.bool_)
    ring.add(Step(np.array([1]), np.array([0.5]), never, never, frames(1), frames(0)))
    assert ring.newest(9).labels == {}
    assert not ring.has_label("count")
    ring.add(Step(np.array([1]), np.array([0.5]), never, never, frames(2), frames(0), {"count": np.array([7.0])}))
    labels = ring.newest(9).labels["count"].numpy()
    np.testing.assert_array_equal(labels, [[np.nan, np.nan], [np.nan, 7]])
    assert ring.has_label("count")


def test_episodes_with_different_labels():
    """Episodes need not have the same labels."""
    one = Episode(np.zeros((2, 4)), np.zeros(1, np.int64), np.ones(1, np.float32), True, {"a": np.array([1.0, 2.0])})
    other = Episode(np.ones((2, 4)), np.zeros(1, np.int64), np.zeros(1, np.float32), False, {"b": np.array([3.0, 4.0])})
    batch = TransitionRing.from_episodes([one, other], seed=0).newest(9)
    np.testing.assert_array_equal(batch.labels["a"].numpy(), [[1, 2], [np.nan, np.nan]])
    np.testing.assert_array_equal(batch.labels["b"].numpy(), [[np.nan, np.nan], [3, 4]])
    assert batch.terminated.tolist() == [[True], [False]]


@pytest.mark.parametrize("space", [spaces.Tuple([PIXEL]), spaces.Text(3), spaces.Dict({"a": DICT})])
def test_spaces_that_are_no_arrays(space):
    """A space whose observations are no arrays is refused with the mend."""
    with pytest.raises(ValueError, match=r"observation_space.* is not a Box.*FlattenObservation"):
        TransitionRing(space, ACTION, 1, 50, 0)


def test_a_digest_of_observations_that_lie_otherwise_in_memory():
    """Channels that were moved to the front are views; the checksum is that of the same numbers in a row."""
    images = np.random.default_rng(0).integers(256, size=(3, 4, 5, 2), dtype=np.uint8)
    digests = []
    for seen in (np.moveaxis(images, -1, 1), np.ascontiguousarray(np.moveaxis(images, -1, 1))):
        episode = Episode(seen, np.array([0, 1]), np.zeros(2, np.float32), False)
        digests.append(TransitionRing.from_episodes([episode], seed=0).digest())
    assert digests[0] == digests[1]
