"""What a user brings along: networks, observations, tasks and algorithms, each from outside of the package."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, NatureCNN
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from jepa_extractor import JEPA, AuxiliaryTask, JEPACallback, JEPAExtractor, jepa_policy_kwargs
from jepa_extractor.networks import make_head
from jepa_extractor.networks.copies import MovingAverage
from jepa_extractor.objectives import R2R2, SIGReg, VICReg, squared_error
from jepa_extractor.sb3.adapter import find_trainees
from tests.sb3.algorithms import OFF_POLICY, UNCLIPPED, largest_difference, learn_by_hand, parameters

DISCRETE, BOX = spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32)
OFF = {**OFF_POLICY, "batch_size": 8}
ON = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "max_grad_norm": UNCLIPPED}
DICT = spaces.Dict(
    {
        "image": spaces.Box(0, 255, (36, 40, 3), np.uint8),
        "grid": spaces.Box(0, 1, (10, 10, 4), np.bool_),
        "speed": spaces.Box(-9, 9, (2,), np.float32),
        "gear": spaces.Discrete(4),
    }
)


class Noise(gym.Env):
    """Observations and rewards drawn at random; episodes of four steps."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self._time = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self._time += 1
        return self.observation_space.sample(), float(self.np_random.normal()), self._time == 4, False, {}


def make_model(algorithm, observation_space, **extractor):
    action_space = BOX if algorithm is SAC else DISCRETE
    env = DummyVecEnv([lambda: Noise(observation_space, action_space)] * 2)
    env.seed(0)
    policy = "MultiInputPolicy" if isinstance(observation_space, spaces.Dict) else "MlpPolicy"
    kwargs = jepa_policy_kwargs(action_space, **{"recipe": "paper", "latent_dim": 8, **extractor})
    arguments = ON if algorithm is PPO else {**OFF, "max_grad_norm": UNCLIPPED} if issubclass(algorithm, DQN) else OFF
    return algorithm(policy, env, policy_kwargs={"net_arch": [8], **kwargs}, seed=0, device="cpu", **arguments)


class TinyEncoder(nn.Module):
    """A network of the user's own."""

    def __init__(self, observation_space, latent_dim, hidden=5):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(spaces.utils.flatdim(observation_space), hidden),
            nn.Tanh(),
            nn.Linear(hidden, latent_dim),
        )

    def forward(self, observations):
        return self.layers(observations)


class OldExtractor(BaseFeaturesExtractor):
    """A features extractor of the user's own, which takes the observation space alone and yields a width of its own."""

    def __init__(self, observation_space):
        super().__init__(observation_space, features_dim=6)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(spaces.utils.flatdim(observation_space), 6))

    def forward(self, observations):
        return self.layers(observations)


class GatedTransition(nn.Module):
    """A latent transition of the user's own."""

    def __init__(self, latent_dim, action_dim, scale=1.0):
        super().__init__()
        self.scale = scale
        self.change = nn.Linear(latent_dim + action_dim, latent_dim)

    def forward(self, latents, actions):
        return latents + self.scale * self.change(torch.cat([latents, actions], dim=1))


class FutureTask(AuxiliaryTask):
    """A task of the user's own: predict the next latent as a slowly following projection of it."""

    name = "future"
    weight = 3.0

    def make_head(self, latent_dim, observation_space, action_space):
        head = make_head(latent_dim, 4)
        head.projection = nn.Linear(latent_dim, 4)
        head.average = MovingAverage(head.projection)
        return head

    def loss(self, head, latents, batch):
        predicted = head[3](head[2](head[1](head[0](latents.before))))
        target = head.average(head.projection, latents.after)
        return squared_error(predicted, target, batch.mask) + 0.1 * head.projection(latents.after).square().mean()

    def update_target(self, head):
        head.average.update(head.projection)


class OwnDQN(DQN):
    """An algorithm of the user's own, with Stable-Baselines3's local variables."""


IMAGE = spaces.Box(0, 255, (36, 40, 3), np.uint8)
VECTOR = spaces.Box(-9, 9, (7,), np.float32)
CASES: dict[str, tuple] = {
    "own encoder": (PPO, VECTOR, {"encoder": TinyEncoder, "encoder_kwargs": {"hidden": 3}}),
    "own transition": (PPO, VECTOR, {"transition": GatedTransition, "transition_kwargs": {"scale": 0.1}}),
    "own extractor": (DQN, VECTOR, {"encoder": OldExtractor}),
    "NatureCNN": (PPO, IMAGE, {"encoder": NatureCNN}),
    "CombinedExtractor": (PPO, DICT, {"encoder": CombinedExtractor}),
    "own task": (PPO, VECTOR, {"auxiliary": ("reward", FutureTask()), "target": "ema"}),
    "own algorithm": (OwnDQN, VECTOR, {}),
    "dict PPO": (PPO, DICT, {}),
    "dict DQN": (DQN, DICT, {}),
    "dict SAC": (SAC, DICT, {"auxiliary": ("reward", "q", "random")}),
    "boolean grid": (DQN, spaces.Box(0, 1, (10, 10, 4), np.bool_), {}),
    "symbols": (PPO, spaces.Box(0, 255, (7, 7, 3), np.uint8), {"encoder": "grid"}),
    "frame stack": (DQN, spaces.Box(0, 255, (84, 84, 4), np.uint8), {}),
    "float image": (PPO, spaces.Box(0, 1, (3, 36, 36), np.float32), {}),
    "many channels": (PPO, spaces.Box(0, 1, (40, 36, 36), np.float32), {}),
    "layer norm": (PPO, VECTOR, {"normalization": "layer", "horizon": 2}),
    "spr": (DQN, IMAGE, {"recipe": "spr"}),
    "mrq": (PPO, DICT, {"recipe": "mrq", "target_kwargs": {"every": 2}}),
    "tdmpc2": (PPO, VECTOR, {"recipe": "tdmpc2"}),
    "regularised": (PPO, VECTOR, {"auxiliary": ("reward", "end", VICReg(), R2R2(), SIGReg())}),
    "simnorm": (PPO, VECTOR, {"normalization": "simnorm", "target": "detach"}),
}


@pytest.mark.parametrize("case", CASES)
def test_trains_saves_and_loads(case, tmp_path):
    """Encoder, transition and heads move; what is saved comes back exactly; and its features are the same."""
    algorithm, space, extractor = CASES[case]
    model = make_model(algorithm, space, **extractor)
    before = parameters(model)
    callback = JEPACallback(batch_size=8)
    model.learn(64, callback=callback)
    assert callback.updates > 0
    own = next(name for name, module in model.policy.named_modules() if isinstance(module, JEPAExtractor))
    after = parameters(model)
    still = {name for name in after if name.startswith(f"{own}.jepa") and torch.equal(after[name], before[name])}
    assert not {name for name in still if "num_batches" not in name}
    model.save(tmp_path / "model.zip")
    loaded = algorithm.load(tmp_path / "model.zip", device="cpu")
    assert largest_difference(after, parameters(loaded)) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_joint_equals_patched_backward(case, monkeypatch):
    """With both clips off, joint training equals a patched backward, difference 0.0."""
    algorithm, space, arguments = CASES[case]
    model = make_model(algorithm, space, **arguments)
    callback = JEPACallback(max_grad_norm=None, batch_size=8)
    model.learn(64, callback=callback)
    twin = make_model(algorithm, space, **arguments)
    assert learn_by_hand(twin, 64, 8, monkeypatch) == callback.updates > 0
    assert largest_difference(parameters(model), parameters(twin)) == 0.0


def test_an_optimizer_for_the_extractor_alone():
    """It trains the extractor if it holds all parameters, and nothing else beside; with one fewer it does not."""
    model = make_model(DQN, BOX)
    held = list(model.policy.q_net.features_extractor.parameters())
    model.policy.optimizer = torch.optim.Adam(held)
    (trainee,) = find_trainees(model)
    assert trainee == (model.policy.optimizer, [model.policy.q_net.features_extractor])
    model.policy.optimizer = torch.optim.Adam(held[1:])
    with pytest.raises(ValueError, match="trains no JEPAExtractor"):
        find_trainees(model)


def test_what_the_encoder_sees_is_what_the_policy_sees():
    """Each entry of a Dict reaches the auxiliary as it reaches the policy: images in [0, 1], one-hot where discrete."""
    model = make_model(PPO, DICT)
    callback = JEPACallback(batch_size=8)
    seen = []
    model.policy.features_extractor.jepa.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.learn(64, callback=callback)
    for one in seen:
        one["gear"] = one["gear"].flatten(
            1
        )  # Stable-Baselines3's buffers keep an axis of length 1 for discrete entries
    forms = [{key: (tuple(value.shape[1:]), value.dtype) for key, value in one.items()} for one in seen]
    assert all(form == forms[0] for form in forms)
    assert forms[0] == {
        "image": ((3, 36, 40), torch.float32),
        "grid": ((10, 10, 4), torch.float32),
        "speed": ((2,), torch.float32),
        "gear": ((4,), torch.float32),
    }
    assert {len(one["gear"]) for one in seen} == {2, 16}  # the policy's rollouts and minibatches, and the auxiliary's
    assert all(one["image"].min() >= 0 and one["image"].max() <= 1 for one in seen)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (3, "encoder=3 is unknown"),
        (lambda space, dim: "network", "it must return a torch.nn.Module"),
        (lambda space, dim: nn.Unflatten(1, (7, 1)), r"maps 2 observations to shape \(2, 7, 1\)"),
        (nn.Linear(7, 64), r"is a Linear, ready made: give its class, called as \(observation_space, latent_dim\)"),
        (lambda space, dim: nn.Linear(5, dim), r"fails on preprocessed observations \(2, 7\): mat1 and mat2"),
        (lambda space, dim: nn.LSTM(7, dim), "forward returned a tuple: it must return one tensor"),
    ],
)
def test_encoders_that_are_none(encoder, message):
    """What is no encoder is refused when the extractor is built."""
    with pytest.raises(ValueError, match=message):
        JEPA(VECTOR, DISCRETE, encoder=encoder)


@pytest.mark.parametrize(
    ("shape", "channels", "parameters"),
    [
        ((10, 10, 4), None, 4),
        ((4, 10, 10), None, 4),
        ((5, 5, 16), None, 16),
        ((7, 7, 7), None, 7),
        ((5, 8, 9), "first", 5),
    ],
)
def test_grids_of_any_shape(shape, channels, parameters):
    """The axis of the channels is found, or told: the first convolution has as many inputs as there are channels."""
    space = spaces.Box(0, 1, shape, np.float32)
    jepa = JEPA(space, DISCRETE, encoder="grid", encoder_kwargs={"channels": channels})
    assert jepa.encoder.convolutions[0].in_channels == parameters
    assert jepa.encode(np.ones((2, *shape), np.float32)).shape == (2, 64)


def test_nature_is_stable_baselines3s():
    """The encoder "nature" has the layers of NatureCNN, and a linear layer to the latent."""
    space = spaces.Box(0, 255, (3, 64, 64), np.uint8)
    own, theirs = JEPA(space, DISCRETE, encoder="nature").encoder, NatureCNN(space)
    assert [type(m) for m in own.convolutions] == [type(m) for m in theirs.cnn]
    own.convolutions.load_state_dict(theirs.cnn.state_dict())
    own.linear[0].load_state_dict(theirs.linear[0].state_dict())
    images = torch.rand(4, 3, 64, 64)
    assert torch.equal(own.linear[:2](own.convolutions(images)), theirs(images))
