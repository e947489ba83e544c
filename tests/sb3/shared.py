"""Shared by hand: a journal of what followed each image, and a patched backward pass."""

import itertools
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnvWrapper

from jepa_extractor import ActionRewardTask, EndTask, RewardTask
from jepa_extractor.sb3.adapter import find_trainees
from tests.integration.coded_env import decode
from tests.sb3.algorithms import make_model

STEPS = 96
TASKS = (RewardTask(latents="predicted"), EndTask(latents="predicted"), ActionRewardTask(latents="predicted"))


class Journal(VecEnvWrapper):
    """Keeps what followed each image of the coded environment, of which no two are the same, by what it says."""

    def __init__(self, venv):
        super().__init__(venv)
        self.followed: dict = {}
        self._seen: Any = None

    def reset(self):
        self._seen = self.venv.reset()
        return self._seen

    def step_async(self, actions):
        self._actions = np.copy(actions)
        super().step_async(actions)

    def step_wait(self):
        observations, rewards, dones, infos = self.venv.step_wait()
        for i, info in enumerate(infos):
            arrived = info["terminal_observation"] if dones[i] else observations[i]
            ended = dones[i] and not info["TimeLimit.truncated"]
            what = (self._actions[i], rewards[i], np.moveaxis(arrived, -1, 0).copy(), float(ended))
            self.followed[decode(np.moveaxis(self._seen[i], -1, 0))] = what
        self._seen = observations
        return observations, rewards, dones, infos


def make(name, share=None, **options):
    return make_model(name, share, **{"auxiliary": TASKS, "target": "detach", "wrap": Journal, **options})


def buffer_and_method(model):
    if getattr(model, "replay_buffer", None) is not None:
        return model.replay_buffer, "sample"
    return model.rollout_buffer, "_get_samples"


def find_extractors(model):
    return [extractor for trainee in find_trainees(model) for extractor in trainee.extractors]


class Watch:
    """Notes what the algorithm draws, and the latents that each extractor first makes of every ``every``-th batch."""

    def __init__(self, model, every=1):
        self.model = model
        self.drawn: Any = None
        self.latents: dict = {}  # by extractor, until they have been used
        self.seen: list = []  # extractors that have encoded what was drawn
        draws = itertools.count(1)
        buffer, method = buffer_and_method(model)
        sample = getattr(buffer, method)

        def watched(*arguments, **options):
            self.drawn, self.latents, self.seen = sample(*arguments, **options), {}, []
            self._passed_over = next(draws) % every != 0
            return self.drawn

        setattr(buffer, method, watched)
        for extractor in find_extractors(model):
            extractor.register_forward_hook(self._encoded)

    def _encoded(self, extractor, _, latents):
        if latents.requires_grad and extractor not in self.seen and not self._passed_over:
            self.seen.append(extractor)
            self.latents[extractor] = latents

    def _followed(self):
        """Return actions, rewards (B, 1), images that followed and ends (B, 1) of what was drawn."""
        journal = self.model.env
        while not isinstance(journal, Journal):
            journal = journal.venv
        rows = [journal.followed[decode(image)] for image in self.drawn.observations.byte().numpy()]
        actions, rewards, images, ends = (torch.as_tensor(np.stack(column)) for column in zip(*rows, strict=True))
        return actions, rewards.float()[:, None], images, ends.float()[:, None]

    def loss(self, extractor):
        """Return the weighted losses on what was drawn, by hand; gradient flows into the algorithm's own latents."""
        jepa, z = extractor.jepa, self.latents[extractor]
        actions, rewards, images, ends = self._followed()
        if isinstance(self.model.action_space, spaces.Discrete):
            actions = torch.nn.functional.one_hot(actions, int(self.model.action_space.n)).float()
        predicted = jepa.next(z, actions)
        with torch.no_grad():
            target = jepa.encoder(images.float() / 255)
        total = jepa.dynamics_weight * (predicted - target).square().mean()
        total = total + 10 * (jepa.heads["reward"](predicted) - rewards).square().mean()
        said = jepa.heads["end"].outputs(predicted)
        total = total + torch.nn.functional.binary_cross_entropy_with_logits(said, ends)
        said = jepa.heads["action_reward"](torch.cat([z, actions], -1))
        return total + 10 * (said - rewards).square().mean()


def learn_by_hand(model, steps, monkeypatch, every=1):
    """Train with each backward pass through an extractor replaced by that of the loss and the auxiliary."""
    watch, added = Watch(model, every), []
    backward = torch.Tensor.backward

    def joint_backward(loss):
        for extractor, latents in list(watch.latents.items()):
            (reached,) = torch.autograd.grad(loss, latents, retain_graph=True, allow_unused=True)
            if reached is not None:
                loss = loss + watch.loss(extractor)
                del watch.latents[extractor]
                added.append(extractor)
        backward(loss)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", joint_backward)
        model.learn(steps)
    return len(added)
