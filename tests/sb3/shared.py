"""Shared by hand: a journal of what followed each image, and a patched backward pass."""

import copy
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

    def followed(self):
        """Return actions, rewards (B, 1), images that followed and ends (B, 1) of what was drawn."""
        journal = self.model.env
        while not isinstance(journal, Journal):
            journal = journal.venv
        rows = [journal.followed[decode(image)] for image in self.drawn.observations.byte().numpy()]
        actions, rewards, images, ends = (torch.as_tensor(np.stack(column)) for column in zip(*rows, strict=True))
        return actions, rewards.float()[:, None], images, ends.float()[:, None]

    def keep_copies(self):
        """Keep a copy of each encoder, as old as the rollout that begins."""
        self.old = {id(one): copy.deepcopy(one.jepa.encoder) for one in find_extractors(self.model)}

    def _target(self, extractor, images):
        """Return what the algorithm has made of the images without gradient: by which network, each case is named."""
        policy = self.model.policy
        if hasattr(self.model, "rollout_buffer"):
            return self.old[id(extractor)](images)
        for name in ("q_net", "quantile_net", "critic", "actor"):
            own, slower = (getattr(policy, one, None) for one in (name, f"{name}_target"))
            if own is not None and own.features_extractor is extractor and slower is not None:
                return slower.features_extractor(images)
        return extractor(images)

    def loss(self, extractor, z, fraction):
        """Return the weighted losses on what was drawn, by hand; gradient flows into the latents ``z``."""
        jepa = extractor.jepa
        actions, rewards, images, ends = self.followed()
        if isinstance(self.model.action_space, spaces.Discrete):
            actions = torch.nn.functional.one_hot(actions, int(self.model.action_space.n)).float()
        predicted = jepa.next(z, actions)
        with torch.no_grad():
            target = self._target(extractor, images.float() / 255)
        earned = int((rewards != 0).sum())
        weights = torch.full_like(rewards, 1 / len(rewards))
        if 0 < earned < len(rewards) and fraction:
            weights = torch.where(rewards != 0, fraction / earned, (1 - fraction) / (len(rewards) - earned))
        total = jepa.dynamics_weight * (weights * (predicted - target).square()).sum() / predicted.shape[1]
        total = total + 10 * (weights * (jepa.heads["reward"](predicted) - rewards).square()).sum()
        said = jepa.heads["end"].outputs(predicted)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(said, ends, reduction="none")
        total = total + (weights * entropy).sum()
        said = jepa.heads["action_reward"](torch.cat([z, actions], -1))
        return total + 10 * (weights * (said - rewards).square()).sum()


def harmless(auxiliary, own):
    """Return the auxiliary's gradient without its part against ``own``."""
    if (auxiliary * own).sum() < 0:
        unit = own / own.norm()
        auxiliary = auxiliary - (auxiliary * unit).sum() * unit
    return auxiliary


def learn_by_hand(model, steps, monkeypatch, every=1, fraction=0.5):
    """Train with each backward pass through an extractor replaced by that of the loss and the auxiliary."""
    watch, added = Watch(model, every), []
    backward = torch.Tensor.backward

    def joint_backward(loss):
        for extractor, latents in list(watch.latents.items()):
            (reached,) = torch.autograd.grad(loss, latents, retain_graph=True, allow_unused=True)
            if reached is not None:
                cut = latents.detach().requires_grad_()
                auxiliary = watch.loss(extractor, cut, fraction)
                (wanted,) = torch.autograd.grad(auxiliary, cut, retain_graph=True)
                heads = watch.loss(extractor, latents.detach(), fraction)
                loss = loss + heads + (latents * harmless(wanted, reached)).sum()
                del watch.latents[extractor]
                added.append(extractor)
        backward(loss)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", joint_backward)
        collect = model.collect_rollouts

        def collect_rollouts(*arguments, **options):
            watch.keep_copies()
            return collect(*arguments, **options)

        patch.setattr(model, "collect_rollouts", collect_rollouts)
        model.learn(steps)
    return len(added)
