"""What a callback refuses: arguments, models and environments that do not fit."""

from functools import partial

import gymnasium as gym
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EveryNTimesteps
from stable_baselines3.common.vec_env import DummyVecEnv

from jepa_extractor import Alternating, JEPACallback, Joint, LabelTask, jepa_policy_kwargs


class Labelled(gym.Wrapper):
    """Has a label only where the episode ends."""

    def step(self, action):
        observation, reward, terminated, truncated, _ = self.env.step(action)
        return observation, reward, terminated, truncated, {"goal": 1.0} if terminated or truncated else {}


class Kind(gym.Wrapper):
    """``info["kind"]`` is ``value`` at each step."""

    def __init__(self, env, value):
        super().__init__(env)
        self.value = value

    def step(self, action):
        *rest, info = self.env.step(action)
        return *rest, {**info, "kind": self.value}


@pytest.mark.slow
def test_a_label_may_be_rare():
    """A label that only the end of a long episode has does not end a training, and missing ones do not count."""
    env = Labelled(gym.make("MountainCar-v0"))  # 200 steps, however one acts by chance
    kwargs = jepa_policy_kwargs(env.action_space, encoder="mlp", latent_dim=4, auxiliary=(LabelTask("goal"),))
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=8, policy_kwargs=kwargs, seed=0, device="cpu")
    callback = JEPACallback(Joint(every=2), probe="goal", batch_size=8)
    with pytest.warns(UserWarning, match="'goal' has not been in info so far, in 128 steps") as said:
        model.learn(256, callback=callback)
    assert len(said) == 1
    assert callback.updates > 64


@pytest.mark.parametrize("value", ["three", [1.0, 2.0]])
def test_a_label_that_is_not_a_number(make_ppo, value):
    """A label must be a number: the error names the key and what info holds."""
    model = make_ppo()
    model.set_env(DummyVecEnv([partial(Kind, env, value) for env in model.get_env().unwrapped.envs]))
    with pytest.raises(ValueError, match=r"label 'kind' is .* in info: name a key whose value is a number"):
        model.learn(64, callback=JEPACallback(probe="kind"))


def test_a_callback_that_is_called_now_and_then(make_ppo):
    """A callback that misses steps would record transitions that never were, so it stops the training."""
    with pytest.raises(RuntimeError, match=r"called at step 0, and then at 8.*learn\(\) itself"):
        make_ppo().learn(64, callback=EveryNTimesteps(8, JEPACallback(batch_size=16)))


def test_another_action_space(make_ppo):
    """An extractor built for another action space is refused before training."""
    model = make_ppo(policy_kwargs=jepa_policy_kwargs(gym.spaces.Discrete(9), latent_dim=16))
    with pytest.raises(ValueError, match=r"action_space=Discrete\(9\).*the model acts in Discrete\(2\)"):
        model.learn(64, callback=JEPACallback(batch_size=16))


def test_unknown_label(make_ppo):
    """A probe that info does not hold is an error that names it."""
    with pytest.raises(ValueError, match="probe='weight' is not in info"):
        make_ppo().learn(512, callback=JEPACallback(probe="weight", batch_size=16))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"schedule": "alternating"}, r"schedule='alternating' is not of type Schedule: give Shared\(\)"),
        ({"probe": ["count"]}, r"probe=\['count'\] is not a key of info"),
        ({"checkpoint_dir": ["runs"]}, r"checkpoint_dir=\['runs'\] is not a path"),
        ({"rewarded_fraction": 1.5}, "rewarded_fraction=1.5 is not a number in"),
        ({"max_grad_norm": 0}, "max_grad_norm=0"),
        ({"buffer_size": 2.5}, "buffer_size=2.5"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_arguments(arguments, message):
    """Every option out of range raises an error at once that names the option and the value."""
    with pytest.raises(ValueError, match=message):
        JEPACallback(**arguments)


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        (Joint, {"every": 0}, "every=0"),
        (Alternating, {"every": 1.5}, "every=1.5"),
        (Alternating, {"replay_ratio": 0}, "replay_ratio=0"),
    ],
)
def test_bad_schedules(schedule, arguments, message):
    """A schedule checks its options when it is made."""
    with pytest.raises(ValueError, match=message):
        schedule(**arguments)


def test_a_policy_without_the_extractor(make_ppo):
    """A callback on a policy without the extractor is an error at once that names the mend."""
    model = make_ppo(policy_kwargs={})
    with pytest.raises(ValueError, match="jepa_policy_kwargs"):
        model.learn(256, callback=JEPACallback(batch_size=16))
    assert model.num_timesteps == 0
