"""What is wrong says so where it begins: schedules that do not act, labels that are not there, spaces that differ."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize, VecTransposeImage

from jepa_extractor import JEPA, Alternating, JEPACallback, Joint, LabelTask, RewardTask, Shared, jepa_policy_kwargs
from jepa_extractor.sb3.schedules import Schedule
from tests.sb3.algorithms import make_model, with_marks

DISCRETE = spaces.Discrete(2)
VECTOR = spaces.Box(-9, 9, (3,), np.float32)
SHAREABLE = {"target": "detach", "auxiliary": (RewardTask(latents="predicted"),)}


class Endless(gym.Env):
    """Episodes of ``length`` steps; at the step ``broken_at`` the reward or the observation is ``value``."""

    def __init__(self, space=VECTOR, length=10**9, broken_at=None, what="reward", value=np.nan):
        self.observation_space, self.action_space = space, DISCRETE
        self.length, self.broken_at, self.what, self.value = length, broken_at, what, value

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.time += 1
        observation, reward = self.observation_space.sample(), 1.0
        if self.time == self.broken_at and self.what == "reward":
            reward = self.value
        elif self.time == self.broken_at:
            observation[1] = self.value
        return observation, reward, self.time == self.length, False, {}


def _given(env):
    return env


def make_ppo(*envs, policy="MlpPolicy", wrap=None, **options):
    env = DummyVecEnv([partial(_given, env) for env in envs])
    env = env if wrap is None else wrap(env)
    kwargs = {"net_arch": [8], **jepa_policy_kwargs(DISCRETE, **{"recipe": "paper", "latent_dim": 4, **options})}
    return PPO(policy, env, n_steps=16, batch_size=16, n_epochs=2, policy_kwargs=kwargs, seed=0, device="cpu")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's compiler looks at it
@pytest.mark.parametrize("before", [0, 48])
def test_a_compiled_network_is_trained_as_another_is(before):
    """``q_net.compile()`` and ``Shared()``: hooks are called, also where the network was compiled before they came."""
    updates = []
    for compiled in (False, True):
        model = make_model("DQN", **SHAREABLE)
        if compiled:
            model.policy.q_net.compile(backend="eager")
        if before:
            model.learn(before, callback=JEPACallback(Schedule()))
        callback = JEPACallback(Shared())
        model.learn(96, callback=callback)
        updates.append(callback.updates)
    assert updates[0] == updates[1] > 0


@pytest.mark.slow
def test_a_compiled_policy_trains_as_another_does():
    """Stable-Baselines3 calls methods of the policy, which are not compiled, so all is as before."""
    models = [make_model("PPO") for _ in range(2)]
    models[0].policy = torch.compile(models[0].policy, backend="eager")
    for model in models:
        callback = JEPACallback(batch_size=8)
        model.set_random_seed(0)
        model.learn(96, callback=callback)
        assert callback.updates > 0
    assert all(torch.equal(*pair) for pair in zip(*(model.policy.parameters() for model in models), strict=True))


class Lazy(Schedule):
    """Should act, and never does."""


@pytest.mark.parametrize("name", [*(with_marks(name) for name in ("PPO", "DQN", "TD3"))])
def test_a_schedule_that_never_acts(name):
    """A schedule of one's own that forgets to act is named; the base schedule, which does nothing, is not."""
    with pytest.warns(UserWarning, match=r"schedule=Lazy\(every=1\) has added no auxiliary gradient while") as said:
        make_model(name).learn(96, callback=JEPACallback(Lazy()))
    assert len(said) == 1
    make_model(name).learn(96, callback=JEPACallback(Schedule()))


def test_a_schedule_that_is_not_due_yet():
    """Neither a long ``every`` nor a rollout before learning starts is a fault."""
    make_model("PPO").learn(64, callback=JEPACallback(Joint(every=1_000), batch_size=8))
    make_model("DQN").learn(16, callback=JEPACallback(Alternating(), batch_size=8))


def test_an_optimizer_that_calls_no_hook():
    """Where the optimizer was exchanged after the training began, no step is seen at all."""
    model = make_ppo(Endless())

    class Exchange(JEPACallback):
        def _on_rollout_start(self):
            if self.num_timesteps == 0:
                model.policy.optimizer = torch.optim.Adam(model.policy.parameters())
            super()._on_rollout_start()

    with pytest.warns(UserWarning, match="has added no auxiliary gradient while PPO trained"):
        model.learn(48, callback=Exchange(batch_size=8))


@pytest.mark.parametrize("auxiliary", [("reward",), (RewardTask(weight=0),)])
def test_an_extractor_without_its_callback(auxiliary):
    """The JEPA that nothing trains is told once; with a callback, or where there is nothing to train, never."""
    model = make_ppo(Endless(), auxiliary=auxiliary)
    with pytest.warns(UserWarning, match=r"nothing trains the JEPA: call model.learn\(.*JEPACallback") as said:
        model.learn(64)
    assert len(said) == 1
    model.learn(32)
    make_ppo(Endless(), auxiliary=(), dynamics_weight=0).learn(32)
    served = make_ppo(Endless())
    served.learn(32, callback=JEPACallback(batch_size=8))
    served.learn(32)
    served.policy.features_extractor(torch.zeros(1, 3)).sum().backward()  # by hand


@pytest.mark.parametrize(
    ("shape", "axes"), [((4, 64, 64, 3), 4), ((64, 64), 2), ((2, 40, 33), None), ((64, 9), None), ((9, 9), None)]
)
def test_images_with_other_axes_are_no_plain_numbers(shape, axes):
    """FrameStackObservation and grey images, which NatureCNN refuses too, are not taken for vectors in silence."""
    space = spaces.Box(0, 255, shape, np.uint8)
    for whole in (space, spaces.Dict({"image": space, "speed": VECTOR})):
        if axes is None:
            JEPA(whole, DISCRETE)
        else:
            with pytest.raises(ValueError, match=rf"images with {axes} axes: give three.*VecFrameStack.*encoder='mlp'"):
                JEPA(whole, DISCRETE)
    if axes is not None:
        assert JEPA(space, DISCRETE, encoder="mlp").encode(np.zeros((2, *shape), np.uint8)).shape == (2, 64)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "probe='count'"),
        ({"auxiliary": (LabelTask("count"),)}, "label 'count' of the auxiliary task 'label_count'"),
    ],
)
def test_labels_that_info_never_holds(options, what):
    """In an environment without end a warning comes at the first record, once; after an end, it is an error."""
    probe = None if options else "count"
    model = make_ppo(Endless(), Endless(), **options)
    with pytest.warns(UserWarning, match=f"{what} has not been in info so far, in 288 steps") as said:
        model.learn(640, callback=JEPACallback(probe=probe, batch_size=8, schedule=Joint(every=2)))
    assert len(said) == 1
    with pytest.raises(ValueError, match=f"{what} is not in info, in a whole episode: name a key that is"):
        make_ppo(Endless(length=4), **options).learn(640, callback=JEPACallback(probe=probe, batch_size=8))


PICTURE = spaces.Dict({"image": spaces.Box(0, 255, (36, 40, 3), np.uint8), "speed": VECTOR})


def normalized(env):
    return VecNormalize(env, norm_obs_keys=["speed"])


def test_a_picture_beside_normalised_numbers():
    """Where VecNormalize sees channels last, and the policy first, the start says so; the mend it names works."""
    model = make_ppo(Endless(PICTURE, length=3), policy="MultiInputPolicy", wrap=normalized)
    with pytest.raises(ValueError, match=r"make VecNormalize the outermost.*VecNormalize\(VecTransposeImage\(env\)\)"):
        model.learn(32, callback=JEPACallback(batch_size=8))
    assert model.num_timesteps == 0
    mended = make_ppo(
        Endless(PICTURE, length=3), policy="MultiInputPolicy", wrap=lambda env: normalized(VecTransposeImage(env))
    )
    callback = JEPACallback(batch_size=8)
    mended.learn(48, callback=callback)
    assert callback.updates > 0


def test_task_names_that_the_table_cannot_tell():
    """Refused before the training, where Stable-Baselines3 would end it: 30 equal letters, of 33 that fit."""
    long = "distance_to_the_nearest_of_all_"
    tasks = (LabelTask(long + "doors"), LabelTask(long + "walls"))
    with pytest.raises(ValueError, match=r"'label_distance.*doors' and '.*walls' begin with the same 30 letters"):
        make_ppo(Endless(), auxiliary=tasks).learn(32, callback=JEPACallback(batch_size=8))
    short = (LabelTask("x" * 21 + "y"), LabelTask("x" * 21 + "z"))  # 33 letters with label_ and _loss
    with pytest.raises(ValueError, match="is not in info"):  # they are shown, and were never there
        make_ppo(Endless(length=4), auxiliary=short).learn(640, callback=JEPACallback(batch_size=8))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("what", ["reward", "observation"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of VecNormalize's means
def test_numbers_that_are_none(what, value, normalize):
    """Reward or observation, the environment and the step are named, before anything is trained on it."""
    wrap = VecNormalize if normalize else None
    model = make_ppo(Endless(), Endless(broken_at=5, what=what, value=value), wrap=wrap)
    with pytest.raises(FloatingPointError, match=f"the {what} of environment 1 is not finite at step 10: .*mend the"):
        model.learn(64, callback=JEPACallback(batch_size=8))
