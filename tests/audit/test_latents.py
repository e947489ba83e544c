"""Encoders are given what they would be given in training, whatever wrappers there were."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize, VecTransposeImage
from torch import nn

from jepa_extractor import Episode, JEPAExtractor, jepa_policy_kwargs
from jepa_extractor.audit import AuditSet
from jepa_extractor.audit.latents import encode
from jepa_extractor.data.spaces import channels_first

VECTOR = spaces.Box(-9, 9, (2,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 3), np.uint8)
SPACES = {
    "vector": VECTOR,
    "image": IMAGE,
    "image with channels first": spaces.Box(0, 255, (3, 36, 36), np.uint8),
    "dict": spaces.Dict({"near": VECTOR, "far": spaces.Box(-9, 9, (3,), np.float32)}),
    "number": spaces.Discrete(5),
}


class Drawn(gym.Env):
    """Shows random observations of a space in episodes of three steps, and keeps all that it showed."""

    action_space = spaces.Discrete(2)

    def __init__(self, space):
        self.observation_space = space
        space.seed(0)
        self.shown = []

    def reset(self, *, seed=None, options=None):
        self.shown.append([self.observation_space.sample()])
        return self.shown[-1][0], {}

    def step(self, action):
        self.shown[-1].append(self.observation_space.sample())
        return self.shown[-1][-1], float(action), False, len(self.shown[-1]) == 4, {}

    def audit_set(self):
        """The set of all that was shown; what must stay apart does not matter here."""
        episodes = []
        for observations in self.shown:
            stacked = (
                {key: np.stack([seen[key] for seen in observations]) for key in observations[0]}
                if isinstance(observations[0], dict)
                else np.stack(observations)
            )
            steps = len(observations) - 1
            labels = {"step": np.arange(steps + 1.0)}
            seen = channels_first(stacked, self.observation_space)
            episodes.append(Episode(seen, np.zeros(steps, int), np.zeros(steps, np.float32), False, labels))
        return AuditSet.from_classes(episodes, "step")


def watched(vec_env, steps=10):
    """All that a policy saw in so many steps, the last of each episode included: a list of observations."""
    seen = [vec_env.reset()]
    for _ in range(steps):
        observations, _, dones, infos = vec_env.step(np.array([1]))
        if dones[0]:
            last = infos[0]["terminal_observation"]
            seen.append({key: last[key][None] for key in last} if isinstance(last, dict) else last[None])
        seen.append(observations)
    return seen


def model_of(vec_env, **kwargs):
    """A model whose features are its preprocessed observations, side by side."""
    kind = {spaces.Dict: "MultiInputPolicy"}.get(type(vec_env.observation_space), "MlpPolicy")
    policy_kwargs = {} if kind == "MultiInputPolicy" else {"features_extractor_class": FlattenExtractor}
    return PPO(kind, vec_env, policy_kwargs=policy_kwargs, n_steps=8, batch_size=8, device="cpu", **kwargs)


def flat(observation):
    parts = [observation[key] for key in sorted(observation)] if isinstance(observation, dict) else [observation]
    return np.concatenate([part.reshape(1, -1) for part in parts], axis=1)


WRAPPERS = {
    "none": lambda env: env,
    "stack": lambda env: VecFrameStack(env, 3),
    "normalize": VecNormalize,
    "stack, normalize": lambda env: VecNormalize(VecFrameStack(env, 3)),
    "normalize, stack": lambda env: VecFrameStack(VecNormalize(env), 3),
}


@pytest.mark.parametrize("wrappers", WRAPPERS)
@pytest.mark.parametrize("space", ["vector", "dict"])
def test_vectors_through_wrappers(space, wrappers):
    """Latents of an encoder that keeps everything are what the policy saw: stacked in episodes, and normalised."""
    env = Drawn(SPACES[space])
    vec_env = WRAPPERS[wrappers](DummyVecEnv([lambda: env]))
    watched(vec_env, 20)  # the statistics of VecNormalize
    env.shown.clear()
    if "normalize" in wrappers:
        (vec_env if isinstance(vec_env, VecNormalize) else vec_env.venv).training = False
    seen = watched(vec_env)
    env.shown.pop()  # of an episode that has just begun, or not
    latents = encode(model_of(vec_env), env.audit_set())
    expected = np.concatenate([flat(observation) for observation in seen])[: len(latents)]
    np.testing.assert_allclose(latents, expected, rtol=1e-6)


@pytest.mark.parametrize("stack", [1, 3])
@pytest.mark.parametrize("space", ["image", "image with channels first"])
def test_images_through_wrappers(space, stack):
    """Images are stacked by channel, transposed and scaled as in training."""
    env = Drawn(SPACES[space])
    vec_env: VecEnv = DummyVecEnv([lambda: env])
    vec_env = VecFrameStack(vec_env, stack) if stack > 1 else vec_env
    vec_env = VecTransposeImage(vec_env) if space == "image" else vec_env
    seen = watched(vec_env, 7)
    env.shown.pop()
    latents = encode(model_of(vec_env), env.audit_set())
    assert latents.shape == (8, stack * 3 * 36 * 36)
    np.testing.assert_allclose(
        latents, np.concatenate([flat(image) for image in seen])[:8] / np.float32(255), rtol=1e-6
    )


def test_a_policy_without_its_environment_is_told_of_its_wrappers():
    """A policy does not know its VecNormalize: it can be given; a stack shows in the shape, or can be given."""
    env = Drawn(VECTOR)
    vec_env = VecNormalize(VecFrameStack(DummyVecEnv([lambda: env]), 3))
    watched(vec_env)
    model, audit_set = model_of(vec_env), env.audit_set()
    expected = encode(model, audit_set)
    assert np.array_equal(encode(model.policy, audit_set, vec_env), expected)
    assert np.array_equal(encode(model.policy, audit_set, vec_env, frame_stack=3), expected)
    assert not np.array_equal(encode(model.policy, audit_set), expected)
    assert np.array_equal(encode(lambda seen: seen, audit_set, vec_env, frame_stack=3), expected)
    with pytest.raises(ValueError, match=r"shape \(2,\), or \(4,\) with frame_stack=2; the encoder takes .* \(6,\)"):
        encode(model.policy, audit_set, frame_stack=2)


def test_single_numbers():
    """Discrete observations are one-hot to a policy, and floats to others."""
    env = Drawn(SPACES["number"])
    vec_env = DummyVecEnv([lambda: env])
    watched(vec_env)
    audit_set = env.audit_set()
    np.testing.assert_array_equal(encode(model_of(vec_env), audit_set), np.eye(5)[audit_set.observations])
    np.testing.assert_array_equal(encode(lambda seen: seen[:, None], audit_set)[:, 0], audit_set.observations)
    with pytest.raises(ValueError, match="frame_stack=2, but observations are single numbers"):
        encode(lambda seen: seen[:, None], audit_set, frame_stack=2)


def image_set(count=20):
    env = Drawn(IMAGE)
    watched(DummyVecEnv([lambda: env]), count)
    return env.audit_set()


def test_modules_and_functions():
    """They get float32 images in [0, 1], channels first, and may return tensors or arrays; modes are kept."""
    audit_set = image_set()
    given = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, images):
            given.append(images)
            assert not torch.is_grad_enabled()
            return self.drop(self.weight * images.flatten(1))

    module = Watching()
    latents = encode(module, audit_set)
    assert module.training
    assert module.drop.training
    assert given[0].dtype == torch.float32
    assert given[0].shape[1:] == (3, 36, 36)
    expected = audit_set.observations.reshape(len(audit_set), -1) / np.float32(255)
    np.testing.assert_allclose(latents, expected, rtol=1e-6)
    np.testing.assert_allclose(encode(lambda seen: seen.flatten(1).numpy(), audit_set), expected, rtol=1e-6)
    env = Drawn(SPACES["dict"])
    watched(DummyVecEnv([lambda: env]))
    assert np.array_equal(encode(lambda seen: seen["far"], env.audit_set()), env.audit_set().observations["far"])


def test_extractors_and_policies_agree():
    """A JEPAExtractor is given what its policy gives it, also many chunks of it, whatever else the policy holds."""
    audit_set = image_set(600)
    torch.manual_seed(0)
    kwargs = jepa_policy_kwargs(spaces.Discrete(2), latent_dim=4)
    model = DQN("CnnPolicy", Drawn(IMAGE), policy_kwargs=kwargs, buffer_size=10, device="cpu")
    extractor = model.q_net.features_extractor
    assert isinstance(extractor, JEPAExtractor)
    latents = encode(model, audit_set)
    assert latents.shape == (len(audit_set), 4)
    assert len(audit_set) > 600
    assert np.array_equal(encode(extractor, audit_set), latents)
    assert np.array_equal(encode(model.policy, audit_set), latents)
    np.testing.assert_allclose(extractor.jepa.encode(audit_set.observations), latents, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (
            lambda seen: torch.full((len(seen), 3), torch.nan),
            r"NaN or infinity for 27 of 27 observations \(0, 1, .*mend",
        ),
        (
            lambda seen: seen[:, 0, :, :],
            r"returned a sequence, \(27, 36, 36\), for 27 observations: reduce it to \(B, D\)",
        ),
        (lambda seen: seen[:, 0, 0, 0], r"returned \(27,\) for 27 observations: return \(B, D\), one row for each"),
        (lambda seen: seen.flatten(1)[1:], r"returned \(26, 3888\) for 27 observations"),
        (lambda seen: seen.flatten(1)[:, :0], r"returned \(27, 0\) for 27 observations"),
        (lambda seen: (seen, seen), "returned a tuple: return the latents alone"),
        (5, "encoder=5 is no encoder"),
    ],
)
def test_what_is_no_encoder(encoder, message):
    """Errors say what was returned and what to return."""
    with pytest.raises(ValueError, match=message):
        encode(encoder, image_set())


def test_widths_that_change():
    """Every chunk must have the same width."""
    audit_set, widths = image_set(600), iter((1, 2, 3, 4))
    with pytest.raises(ValueError, match=r"returned \(256, 2\) for 256 observations"):
        encode(lambda seen: seen.flatten(1)[:, : next(widths)], audit_set)


def test_a_set_of_another_space():
    """An encoder of other observations, and a VecNormalize of others, are named."""
    model = PPO("MlpPolicy", DummyVecEnv([lambda: Drawn(VECTOR)]), device="cpu")
    with pytest.raises(ValueError, match=r"of shape \(3, 36, 36\).* the encoder takes observations of shape \(2,\)"):
        encode(model, image_set())
    other = VecNormalize(DummyVecEnv([lambda: Drawn(spaces.Box(-1, 1, (7,)))]))
    with pytest.raises(
        ValueError, match=r"vec_normalize takes observations of shape \(7,\), the encoder \(3, 36, 36\)"
    ):
        encode(lambda seen: seen.flatten(1), image_set(), other)
    with pytest.raises(ValueError, match="vec_normalize is a str, not a VecNormalize"):
        encode(lambda seen: seen.flatten(1), image_set(), "stats.pkl")


@pytest.mark.parametrize("algorithm", [PPO, DQN, SAC, TD3])
@pytest.mark.parametrize("part", ["policy", "features"])
def test_compiled_policies_are_audited_as_their_own_latents(algorithm, part):
    """Not their actions: what ``torch.compile`` wrapped is looked into, the policy, or its features extractor."""
    continuous = algorithm in (SAC, TD3)
    env = gym.make("Pendulum-v1" if continuous else "CartPole-v1")
    options = {} if algorithm is PPO else {"buffer_size": 10}
    model = algorithm("MlpPolicy", env, device="cpu", **options)
    seen = np.stack([env.observation_space.sample().clip(-5, 5) for _ in range(12)])
    labels = {"kind": np.arange(12.0) % 2}
    episode = Episode(seen, np.zeros(11, int), np.zeros(11, np.float32), False, labels)
    audit_set = AuditSet.from_classes([episode], "kind")
    expected = encode(model, audit_set)
    assert expected.shape == seen.shape
    if part == "policy":
        model.policy = torch.compile(model.policy, backend="eager")
    else:
        holder = getattr(model.policy, {PPO: "", DQN: "q_net"}.get(algorithm, "actor"), model.policy)
        holder.features_extractor = torch.compile(holder.features_extractor, backend="eager")
    assert np.array_equal(encode(model, audit_set), expected)
    assert np.array_equal(encode(model.policy, audit_set), expected)
