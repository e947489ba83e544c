"""Every algorithm that the callback serves, as small models on the coded environment."""

from functools import partial

import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from jepa_extractor import JEPACallback, jepa_policy_kwargs
from jepa_extractor.sb3.adapter import find_trainees
from jepa_extractor.sb3.schedules import Schedule
from tests.integration.coded_env import make_coded_env

UNCLIPPED = 1e9
ENVS = 2
DISCRETE, BOX = spaces.Discrete(3), spaces.Box(-2, 2, (2,), np.float32)
ON_POLICY = {"n_steps": 16, "batch_size": 16, "n_epochs": 2, "max_grad_norm": UNCLIPPED}
OFF_POLICY = {"learning_starts": 20, "train_freq": 4, "gradient_steps": 2, "batch_size": 16, "buffer_size": 200}
CLIPPED = {"max_grad_norm": UNCLIPPED}

# name: (policy, action space, arguments, whether share_features_extractor exists)
ALGORITHMS = {
    "PPO": ("CnnPolicy", DISCRETE, ON_POLICY, True),
    "A2C": ("CnnPolicy", DISCRETE, {"n_steps": 8, **CLIPPED}, True),
    "DQN": ("CnnPolicy", DISCRETE, {**OFF_POLICY, **CLIPPED}, False),
    "SAC": ("CnnPolicy", BOX, OFF_POLICY, True),
    "TD3": ("CnnPolicy", BOX, OFF_POLICY, True),
    "DDPG": ("CnnPolicy", BOX, OFF_POLICY, True),
    "QRDQN": ("CnnPolicy", DISCRETE, {**OFF_POLICY, **CLIPPED}, False),
    "TQC": ("CnnPolicy", BOX, OFF_POLICY, True),
    "CrossQ": ("MlpPolicy", BOX, OFF_POLICY, True),
    "RecurrentPPO": ("CnnLstmPolicy", DISCRETE, ON_POLICY, True),
    "MaskablePPO": ("CnnPolicy", DISCRETE, ON_POLICY, True),
    "TRPO": ("CnnPolicy", DISCRETE, {"n_steps": 16, "batch_size": 16, "n_critic_updates": 2}, True),
}
QUICK = ("PPO", "DQN", "SAC")  # in the default suite; the others run with the slow tests


def with_marks(*case):
    """Return a test case, whose first entry names an algorithm, slow unless that is a quick one."""
    return pytest.param(*case, marks=() if case[0] in QUICK else pytest.mark.slow)


ALL = [with_marks(name) for name in ALGORITHMS]
JOINT = [with_marks(name) for name in ALGORITHMS if name != "TRPO"]
SHARING = [(name, share) for name, case in ALGORITHMS.items() for share in ((True, False) if case[3] else (None,))]
ALL_SHARING = [with_marks(*case) for case in SHARING]
JOINT_SHARING = [with_marks(*case) for case in SHARING if case[0] != "TRPO"]


def make_model(
    name, share=None, action_space=None, wrap=None, normalize_images=True, arguments=None, seed=0, **extractor_arguments
):
    """Return a model of algorithm ``name``; ``wrap`` changes its vector environment."""
    policy, default_space, defaults, _ = ALGORITHMS[name]
    action_space = default_space if action_space is None else action_space
    env = DummyVecEnv([partial(make_coded_env, number, action_space) for number in range(ENVS)])
    env = env if wrap is None else wrap(env)
    extractor_arguments = {
        "recipe": "paper",
        "latent_dim": 8,
        "normalize_images": normalize_images,
        **extractor_arguments,
    }
    policy_kwargs = {"net_arch": [16], **jepa_policy_kwargs(action_space, **extractor_arguments)}
    if share is not None:
        policy_kwargs["share_features_extractor"] = share
    if name == "CrossQ":
        policy_kwargs["net_arch"] = {"pi": [16], "qf": [16]}
    if name == "RecurrentPPO":
        policy_kwargs["lstm_hidden_size"] = 16
    if name in ("TQC", "QRDQN"):
        policy_kwargs["n_quantiles"] = 5
    library = stable_baselines3 if hasattr(stable_baselines3, name) else sb3_contrib
    return getattr(library, name)(
        policy, env, policy_kwargs=policy_kwargs, seed=seed, device="cpu", **{**defaults, **(arguments or {})}
    )


def find_jepas(model):
    """Return every JEPA that an optimizer of the model trains."""
    return [jepa for trainee in find_trainees(model) for jepa in trainee.jepas]


def learn_by_hand(model, steps, batch_size, monkeypatch):
    """Train with every backward pass replaced by that of the loss and the auxiliary; return how many were added."""
    recorder = JEPACallback(Schedule(), batch_size=batch_size)  # whose every hook is a no-op
    trainees = {trainee.optimizer: trainee for trainee in find_trainees(model)}
    zeroed = []  # algorithms zero the gradients of an optimizer just before the backward pass that is for it
    for optimizer in trainees:
        monkeypatch.setattr(
            optimizer, "zero_grad", lambda own=optimizer: (zeroed.append(own), type(own).zero_grad(own))[1]
        )
    backward, added = torch.Tensor.backward, []

    def joint_backward(loss):
        for optimizer in zeroed:
            for jepa in trainees[optimizer].jepas:
                batch = recorder.trainer.recorder.sample(batch_size, jepa.horizon, recorder.step.rewarded_fraction)
                loss = loss + jepa.loss(batch)[0]
                added.append(jepa)
        zeroed.clear()
        backward(loss)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", joint_backward)
        model.learn(steps, callback=recorder)
    return len(added)


def parameters(model):
    """Return copies of everything in the model's policy but the count of auxiliary updates."""
    state = model.policy.state_dict()
    return {name: value.clone() for name, value in state.items() if not name.endswith("jepa.updates")}


def largest_difference(a, b):
    """Return the largest difference of two sets of parameters."""
    assert a.keys() == b.keys()
    return max((a[name].double() - b[name].double()).abs().max().item() for name in a)
