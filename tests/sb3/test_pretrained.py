"""A pretrained JEPA inside of a Stable-Baselines3 policy."""

import gymnasium as gym
import pytest
import torch
from stable_baselines3 import DQN, PPO, SAC

import counting_env
from jepa_extractor import (
    JEPA,
    JEPACallback,
    JEPAExtractor,
    TransitionRing,
    jepa_policy_kwargs,
    load_pretrained,
    pretrain,
    random_episodes,
)
from tests.sb3.algorithms import find_jepas
from tests.sb3.algorithms import make_model as make_small

gym.register_envs(counting_env)

SMALL = {"image_size": 36, "max_count": 4, "target": 2}
MODELS = {
    PPO: ("CountingEnv-v0", {"n_steps": 16, "batch_size": 16, "n_epochs": 1}),
    DQN: ("CountingEnv-v0", {"learning_starts": 8, "buffer_size": 100}),
    SAC: ("CountingEnvContinuous-v0", {"learning_starts": 8, "buffer_size": 100, "batch_size": 16}),
}


def pretrained(env_id, checkpoint=None):
    envs = gym.make_vec(env_id, 8, vectorization_mode="vector_entry_point", **SMALL)
    torch.manual_seed(0)
    jepa = JEPA(envs.single_observation_space, envs.single_action_space, latent_dim=8)
    transitions = TransitionRing.from_episodes(random_episodes(envs, 100, seed=0), seed=0)
    pretrain(jepa, transitions, updates=3, batch_size=16, transition_updates=3, checkpoint=checkpoint)
    return jepa


def make_model(algorithm, **kwargs):
    env_id, arguments = MODELS[algorithm]
    env = gym.make(env_id, **SMALL)
    policy_kwargs = {
        "net_arch": [8],
        **jepa_policy_kwargs(env.action_space, **{"recipe": "paper", "latent_dim": 8, **kwargs}),
    }
    return algorithm("CnnPolicy", env, policy_kwargs=policy_kwargs, seed=1, device="cpu", **arguments)


def extractors(model):
    return [module for module in model.policy.modules() if isinstance(module, JEPAExtractor)]


def encoders_equal(model, jepa):
    wanted = jepa.encoder.state_dict()
    return [
        # not equal to the bit: the averaging of target networks rounds
        all(torch.allclose(value, wanted[name], atol=1e-7) for name, value in own.jepa.encoder.state_dict().items())
        for own in extractors(model)
    ]


@pytest.mark.parametrize("algorithm", MODELS)
@pytest.mark.parametrize("freeze", [True, False])
def test_two_lines(algorithm, freeze, tmp_path):
    """A pretrained encoder is loaded into a policy in two lines, frozen or not:
    every copy in the policy holds it; training moves it, unless it is frozen."""
    jepa = pretrained(MODELS[algorithm][0], tmp_path / "c.pt")
    model = make_model(algorithm)
    assert not any(encoders_equal(model, jepa))
    load_pretrained(model, tmp_path / "c.pt", freeze=freeze)
    assert all(encoders_equal(model, jepa))
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(16)
    assert all(encoders_equal(model, jepa)) == freeze
    after = list(model.policy.parameters())
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True)), "the rest is trained"


def test_from_memory_and_fine_tuned_with_the_callback():
    """A JEPA in memory serves as well as its checkpoint, and the callback trains it on."""
    jepa = pretrained("CountingEnv-v0")
    model = make_model(PPO)
    load_pretrained(model, jepa)
    assert all(encoders_equal(model, jepa))
    callback = JEPACallback(batch_size=16)
    model.learn(32, callback=callback)
    assert callback.updates > 0
    assert not any(encoders_equal(model, jepa))


def test_the_callback_refuses_a_frozen_extractor():
    """A callback that could train nothing says so."""
    model = make_model(PPO)
    load_pretrained(model, pretrained("CountingEnv-v0"), freeze=True)
    with pytest.raises(ValueError, match="frozen"):
        model.learn(32, callback=JEPACallback(batch_size=16))


def test_what_does_not_fit_is_refused(tmp_path):
    """A policy built otherwise, one without JEPAExtractor, and a missing file: each is a clear sentence."""
    jepa = pretrained("CountingEnv-v0")
    with pytest.raises(ValueError, match="built otherwise"):
        load_pretrained(make_model(PPO, latent_dim=9), jepa)
    plain = PPO("CnnPolicy", gym.make("CountingEnv-v0"), device="cpu")
    with pytest.raises(ValueError, match="has no JEPAExtractor"):
        load_pretrained(plain, jepa)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_pretrained(make_model(PPO), tmp_path / "nowhere.pt")


def test_trpo_freezes_nothing():
    """It differentiates by every parameter, so a frozen one is refused at once, and nothing is loaded."""
    model = make_small("TRPO")
    with pytest.raises(ValueError, match="freeze=True: TRPO cannot train a policy with frozen parameters"):
        load_pretrained(model, find_jepas(make_small("PPO"))[0], freeze=True)
