"""Audit sets that are collected from an environment, and encoders whose audit is known."""

import gymnasium as gym
import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import counting_env
from jepa_extractor import TransitionRing, pretrain, random_episodes
from jepa_extractor.audit import AuditSet, audit
from jepa_extractor.audit.report import audit_latents
from jepa_extractor.audit.separation import exact_classes
from tests.audit.worlds import Counter, Places, make_jepa, places, raw_observations, train_under_vec_normalize


def latents_of(model, steps, vec_normalize=None):
    data = AuditSet.collect(places(), steps, classes_from="place")
    return audit(model, data, vec_normalize=vec_normalize, controls=False).latents


@pytest.mark.parametrize(
    ("merge", "kept", "pairs"),
    [
        (lambda count: count, 9, []),
        (lambda count: min(count, 6), 7, [(6, 7), (6, 8), (7, 8)]),
        (lambda count: 0, 1, None),
    ],
)
def test_encoders_whose_collapse_is_known(merge, kept, pairs):
    """Of an exact counter 9 of 9 classes are kept; of one that merges 6, 7 and 8, exactly these pairs collapsed.

    The counter's distances and the bisimulation metric order the pairs almost inversely: 0 and 8 are far apart for a
    counter, but for the reward both are four steps away, so that the metric has them close.
    """
    envs = gym.make_vec("CountingEnv-v0", 16, image_size=36, vectorization_mode="vector_entry_point")
    jepa = make_jepa(envs, latent_dim=3)
    jepa.encoder = Counter(merge)
    data = AuditSet.collect(envs, 2_000, classes_from="count", mdp=counting_env.count_mdp())
    assert data.env == "CountingEnv-v0"
    report = audit(jepa, data, controls=False)
    assert report.verdict.word == ("KEPT" if kept == 9 else "COLLAPSED")
    assert (report.verdict.sentence == "All 9 classes of count look different to it.") == (kept == 9)
    assert report.numbers()["groups"] == kept
    pairs_of = report.classes
    if pairs is not None:
        assert np.argwhere(np.triu(~pairs_of.kept, 1)).tolist() == [list(pair) for pair in pairs]
        places = np.array([merge(count) for count in range(9)])
        means = np.stack([places, places**2 / 8], axis=1)
        _, metric = exact_classes(*counting_env.count_mdp())
        expected = spearmanr(pdist(means), squareform(metric, checks=False)).statistic
        assert pairs_of.rank_correlation == pytest.approx(expected, abs=0.05)


def test_dynamics_alone_keeps_one_of_nine():
    """An encoder that does not count by itself, trained by latent dynamics alone, keeps 1 of 9 classes, and shrinks."""
    envs = gym.make_vec("CountingEnv-v0", 16, image_size=36, vectorization_mode="vector_entry_point")
    jepa = make_jepa(envs, auxiliary=(), encoder="nature")
    episodes = list(random_episodes(envs, 500, seed=0))
    seen = np.concatenate([episode.observations for episode in episodes])
    untrained = jepa.encode(seen).std(axis=0).mean()
    transitions = TransitionRing.from_episodes(episodes, seed=0)
    pretrain(jepa, transitions, updates=40, batch_size=32, learning_rate=4e-3, transition_updates=0)
    data = AuditSet.collect(envs, 600, classes_from="count", mdp=counting_env.count_mdp())
    report = audit(jepa, data, controls=False)
    assert report.verdict.word == "COLLAPSED"
    assert len(report.classes.groups(~report.classes.kept)) == 1
    assert report.classes.margins.min() < 1
    assert jepa.encode(seen).std(axis=0).mean() < 0.3 * untrained


def test_a_policy_without_jepa_can_be_audited():
    """Any Stable-Baselines3 policy can be audited, such as one with its own NatureCNN."""
    model = PPO("CnnPolicy", gym.make("CountingEnv-v0"), seed=0, device="cpu")
    report = audit(model, AuditSet.collect("CountingEnv-v0", 600, classes_from="count"), controls=False)
    assert len(report.classes.classes) == 9
    assert report.latents.shape[1] == 512


def test_a_model_trained_under_vec_normalize_sees_normalized_observations():
    """The encoder gets what the policy sees, by the statistics of the model's environment, which stay as they are."""
    model, vec_env = train_under_vec_normalize()
    before = vec_env.obs_rms.mean.copy(), vec_env.obs_rms.count
    seen = vec_env.normalize_obs(raw_observations(200))
    assert np.array_equal(latents_of(model, 200), seen)
    # a policy does not know its environment: it can be told
    assert np.array_equal(latents_of(model.policy, 200, vec_env), seen)
    assert np.array_equal(latents_of(model.policy, 200), raw_observations(200))
    assert np.array_equal(vec_env.obs_rms.mean, before[0])
    assert vec_env.obs_rms.count == before[1]


def test_vec_normalize_without_observations_changes_nothing():
    """``VecNormalize(norm_obs=False)`` leaves observations alone, and so does the audit."""
    model = PPO("MlpPolicy", VecNormalize(DummyVecEnv([Places]), norm_obs=False), device="cpu")
    assert np.array_equal(latents_of(model, 50), raw_observations(50))


def test_a_vec_normalize_of_another_environment_is_named():
    """Statistics of another shape, or something else, are an error."""
    model, _ = train_under_vec_normalize()
    other = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    with pytest.raises(ValueError, match=r"vec_normalize takes observations of shape \(4,\), the encoder \(2,\)"):
        latents_of(model, 50, other)
    with pytest.raises(ValueError, match="vec_normalize is a str, not a VecNormalize"):
        latents_of(model, 50, "stats.pkl")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": gym.make("Places-v0")}, r"env=<.*Places.*> is not a vector environment: give the id"),
        ({"env": None}, "env=None is not a vector environment"),
        ({"classes_from": "typo"}, "classes_from='typo' names no class"),
        ({"env": "Places-v0", "classes_from": "typo"}, "names no class; info holds the numbers place, state"),
        ({"classes_from": ["place"]}, r"classes_from=\['place'\] is not a key of info"),
        ({"mdp": 5}, "mdp=5 is not a pair: give successors"),
        ({"mdp": ([[0]], [0], [0])}, r"mdp=\(\[\[0\]\], \[0\], \[0\]\) is not a pair"),
        ({"mdp": (np.full((2, 4, 4), 0.25), np.arange(4))}, "there are probabilistic_bisimulation"),
        ({"steps": None}, "steps=None"),
        ({"episodes": 0}, "episodes=0"),
        ({"seed": -1}, "seed=-1"),
        ({"policy": "best"}, "policy='best' is neither 'random' nor has it predict"),
        ({"actions": ["left"]}, r"actions=\['left'\] has 1 names, and there are 2 actions"),
    ],
)
def test_bad_arguments_are_named(change, message):
    """An error names the argument, its value and the mend."""
    with pytest.raises(ValueError, match=message):
        AuditSet.collect(**{"env": places(), "classes_from": "place", "steps": 100, **change})


def test_an_unknown_id_says_how_to_name_a_module():
    """Gymnasium knows no id whose module was not imported."""
    with pytest.raises(gym.error.NameNotFound, match="module:NoSuchEnv-v0"):
        AuditSet.collect("NoSuchEnv-v0")


def test_who_acts_is_a_policy():
    """Episodes are those of what ``predict`` chooses for the observations of the moment, and names are those given."""
    seen = []

    class Right:
        def predict(self, observation, state=None, episode_start=None):
            seen.append(np.array(observation))
            return np.ones(len(observation), int), state

    data = AuditSet.collect("Places-v0", 40, Right(), "place", actions=("left", "right"))
    assert set(data.actions.tolist()) == {1, -1}
    assert data.action_names == ("left", "right")
    last = data.steps == 5
    assert (data.labels["place"][last] == 3).all()
    np.testing.assert_array_equal(np.concatenate(seen)[:5], data.observations[:5])


def test_classes_come_from_the_environment_by_default():
    """Its ``class_mdp`` says what must stay apart; ``classes_from=None`` leaves that to the episodes."""
    assert AuditSet.collect("Places-v0", 50).required.mdp is not None
    cart = AuditSet.collect("CartPole-v1", episodes=30)
    assert cart.episodes[-1] == 29
    assert cart.env == "CartPole-v1"
    with pytest.raises(ValueError, match="env=Pendulum-v1 has actions that are not one number of a few"):
        AuditSet.collect("Pendulum-v1")


def test_environments_that_the_audit_made_are_closed():
    """Environments made from an id are closed, those of the caller are not."""
    closed = []

    class Closing(Places):
        def close(self):
            closed.append(self)

    gym.register("Closing-v0", Closing)
    AuditSet.collect(gym.make_vec("Closing-v0", 4, vectorization_mode="sync"), 50)
    assert closed == []
    AuditSet.collect("Closing-v0", 50)
    assert len(closed) == 2  # the one that was looked at, and the one in which it was collected


def test_classes_are_the_numbers_in_info():
    """The classes are the numbers in ``info``: whole or not, and however large."""
    numbers = {0: 0.25, 1: 0.5, 2: 2.0**24, 3: 2.0**24 + 1}

    class Numbered(gym.Wrapper):
        def reset(self, **kwargs):
            observation, info = self.env.reset(**kwargs)
            return observation, {"kind": numbers[info["count"] % 4]}

        def step(self, action):
            observation, reward, terminated, truncated, info = self.env.step(action)
            return observation, reward, terminated, truncated, {"kind": numbers[info["count"] % 4]}

    envs = gym.make_vec("CountingEnv-v0", 8, vectorization_mode="sync", wrappers=[Numbered])
    jepa = make_jepa(envs, latent_dim=3)
    data = AuditSet.collect(envs, 200, classes_from="kind")
    assert audit(jepa, data, controls=False).classes.classes.tolist() == list(numbers.values())
    with pytest.raises(ValueError, match="not always an integer"):
        AuditSet.collect(envs, 200, classes_from="kind", mdp=counting_env.count_mdp())


def test_a_wrong_mdp_is_named():
    """An MDP that does not fit the environment, and states that were never seen, are named."""
    envs = gym.make_vec("CountingEnv-v0", 16, image_size=36, vectorization_mode="vector_entry_point")
    with pytest.raises(ValueError, match=r"info\['count'\] reaches from 0 to 8, but mdp has states 0 to 4"):
        AuditSet.collect(envs, 200, classes_from="count", mdp=counting_env.count_mdp(4, 2))
    data = AuditSet.collect(envs, 2_000, classes_from="count", mdp=counting_env.count_mdp(11))
    assert "Fewer than two observations show count 9, 10, 11" in data.coverage()
    report = audit_latents(np.eye(9, dtype=np.float32)[data.labels["count"].astype(int)], data)
    assert report.verdict.word == "INCONCLUSIVE"
    assert "but count 9, 10 and 11 were seen too seldom" in report.verdict.sentence
