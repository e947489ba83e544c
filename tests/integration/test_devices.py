"""Everything that trains or decides, on every device at hand: a GPU too where there is one."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env

from jepa_extractor import (
    JEPA,
    Alternating,
    EndTask,
    JEPACallback,
    Joint,
    QTask,
    RewardTask,
    Shared,
    TransitionRing,
    jepa_policy_kwargs,
    pretrain,
    random_episodes,
)
from jepa_extractor.audit import AuditSet, audit
from jepa_extractor.objectives import SIGReg, VICReg
from jepa_extractor.planning import LatentPlanner, retarget

pytestmark = pytest.mark.slow
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SMALL = {"image_size": 36, "max_count": 4}
OFF_POLICY = {"learning_starts": 20, "buffer_size": 200, "batch_size": 16}
MODELS: dict[str, Any] = {
    "PPO": (PPO, "CountingEnv-v0", {"n_steps": 16, "batch_size": 16}),
    "DQN": (DQN, "CountingEnv-v0", OFF_POLICY),
    "SAC": (SAC, "CountingEnvContinuous-v0", OFF_POLICY),
}
ALL_TASKS = (RewardTask(), QTask(), EndTask(head="binary"), VICReg(), SIGReg(slices=4))
CASES = [
    ("PPO", Joint(), {"auxiliary": ALL_TASKS, "target": "ema", "normalization": "simnorm"}),
    ("PPO", Joint(), {"recipe": "spr", "latent_dim": 16}),
    ("PPO", Alternating(), {"recipe": "mrq", "latent_dim": 16}),
    ("DQN", Joint(), {"recipe": "tdmpc2", "latent_dim": 16}),
    ("DQN", Shared(), {"target": "detach", "auxiliary": (RewardTask(latents="predicted", head="two-hot"),)}),
    ("SAC", Shared(), {"target": "detach", "auxiliary": (RewardTask(latents="predicted"),)}),
    ("SAC", Joint(), {"encoder": "places", "target": "copy"}),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param)


@pytest.fixture(scope="module")
def transitions():
    envs = gym.make_vec("CountingEnv-v0", 8, vectorization_mode="vector_entry_point", **SMALL)
    return TransitionRing.from_episodes(random_episodes(envs, 2_000, seed=0), seed=0)


def make_jepa(**options):
    env = gym.make("CountingEnv-v0", **SMALL)
    torch.manual_seed(0)
    return JEPA(env.observation_space, env.action_space, **options)


@pytest.mark.parametrize(("name", "schedule", "options"), CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])
def test_a_policy_trains_and_goes_on_elsewhere(device, name, schedule, options, tmp_path):
    """The auxiliary trains where the policy is; a model that was saved there decides alike on the CPU, and goes on."""
    build, env_id, arguments = MODELS[name]
    env = make_vec_env(env_id, 2, seed=0, env_kwargs=SMALL)
    policy_kwargs = {"net_arch": [16], **jepa_policy_kwargs(env.action_space, **{"recipe": "paper", **options})}
    model = build("CnnPolicy", env, policy_kwargs=policy_kwargs, seed=0, device=device, **arguments)
    callback = JEPACallback(copy.deepcopy(schedule), batch_size=8, probe="count")
    model.learn(64, callback=callback)
    assert callback.updates > 0
    assert {parameter.device.type for parameter in model.policy.parameters()} == {device.type}
    assert all(torch.isfinite(parameter).all() for parameter in model.policy.parameters())
    model.save(tmp_path / "model")
    callback.save(tmp_path / "callback.pt")
    loaded = build.load(tmp_path / "model", env, device="cpu")
    observations = env.reset()
    np.testing.assert_allclose(
        loaded.predict(observations, deterministic=True)[0],
        model.predict(observations, deterministic=True)[0],
        atol=1e-3,
    )
    again = JEPACallback(copy.deepcopy(schedule), batch_size=8, probe="count")
    again.load(tmp_path / "callback.pt")
    loaded.learn(32, callback=again, reset_num_timesteps=False)
    assert again.updates > callback.updates


@pytest.mark.skipif(not torch.cuda.is_available(), reason="compares a GPU with the CPU, which is compared by hand")
@pytest.mark.parametrize("encoder", ["pooled", "both", "places", "gated", "nature", "resnet"])
def test_gradients_are_those_of_the_cpu(encoder, transitions):
    """The same parameters and the same batch give the same losses and the same gradient."""
    here = make_jepa(encoder=encoder, latent_dim=16, auxiliary=("reward", QTask(discount=0.9)), horizon=2)
    there = copy.deepcopy(here).to("cuda")
    batch = transitions.sample(16, horizon=2, rewarded_fraction=0.5)
    gradients = []
    for jepa in (here, there):
        jepa.loss(batch)[0].backward()
        gradients.append(torch.cat([p.grad.flatten().cpu() for p in jepa.parameters() if p.grad is not None]))
    difference = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
    assert difference < 1e-2  # a GPU convolves in TF32, with ten bits


def test_pretraining_planning_and_audit(device, transitions):
    """What is learned on the device keeps every count apart, plans to a new goal, and passes the audit."""
    jepa = make_jepa().to(device)
    pretrain(jepa, transitions, 200, transition_updates=400)
    assert jepa.device.type == device.type
    env = gym.make("CountingEnv-v0", **SMALL)
    pictures = np.stack([env.reset(seed=0, options={"count": count})[0] for count in range(5)])
    planner = LatentPlanner(retarget(jepa, pictures, rewards=np.arange(5) == 3))
    assert [int(planner.predict(pictures[count])[0]) for count in (0, 1, 2, 4)] == [1, 1, 1, 0]
    envs = gym.make_vec("CountingEnv-v0", 8, vectorization_mode="vector_entry_point", **SMALL)
    audit_set = AuditSet.from_episodes(random_episodes(envs, 1_000, seed=1), actions=("remove", "add"))
    assert audit(jepa, audit_set).collapse_index < 0.05


def test_the_same_seed_gives_the_same_bytes(device, transitions, monkeypatch):
    """Two trainings on one device are equal to the last bit; on a GPU, if cuDNN is told to be deterministic."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    trained = []
    for _ in range(2):
        jepa = make_jepa(augmentation=("shift", "intensity")).to(device)
        pretrain(jepa, copy.deepcopy(transitions), 20, transition_updates=5)
        trained.append(jepa.state_dict())
    assert all(torch.equal(value, trained[1][name]) for name, value in trained[0].items())
