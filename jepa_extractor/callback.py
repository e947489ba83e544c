"""JEPACallback: auxiliary gradients for any Stable-Baselines3 algorithm while it trains."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch.optim import Optimizer

from jepa_extractor import hooks, sb3_adapter
from jepa_extractor.checkpoint import load_state, save_model, save_state
from jepa_extractor.checks import require_choice, require_fraction, require_integer
from jepa_extractor.diagnostics import nearest_centroid_accuracy
from jepa_extractor.extractor import JEPAExtractor
from jepa_extractor.meter import Meter
from jepa_extractor.objective import Objective
from jepa_extractor.transitions import TransitionRing

RECORD_EVERY = 16  # updates between two records of the losses in the logger
MEASURE_EVERY = 8  # updates between two measurements of the algorithm's gradient
KEEP_EVERY = 64  # updates between two measurements of the label's accuracy, and two checkpoints
NEWEST = 512  # transitions on which the label's accuracy is measured
MODES = ("joint", "alternating")
KIND = "state of a JEPACallback"


@dataclass
class Owned:
    """What an optimizer of the algorithm owns, and how often it has stepped."""

    extractors: list[JEPAExtractor] = field(default_factory=list)
    steps: int = 0
    answered: int = 0  # alternating: of these steps, those that auxiliary steps have answered
    optimizer: Optimizer | None = None  # alternating: makes the auxiliary steps


class JEPACallback(BaseCallback):
    """Train the JEPA in a policy's features extractor while any Stable-Baselines3 algorithm trains the policy.

    The callback records transitions while the algorithm collects them, and draws batches from them. In mode
    ``"joint"``, at each step of the optimizer that owns the encoder, the gradient of the weighted losses on one
    batch is clipped by a norm of its own and added to the gradient that the algorithm left. With both clips off
    that is exactly ``(loss + auxiliary).backward()``. In mode ``"alternating"``, before each rollout, an optimizer
    of its own makes ``replay_ratio`` steps for each that the encoder's owner made since. Neither the algorithm nor
    the global random streams are touched. An extractor that several optimizers hold counts as the critic's;
    separate extractors of actor and critic are trained each.

    Logged under ``jepa/`` each 16 updates or more, as means since the last: ``dynamics_loss``, ``<task>_loss``;
    ``grad_norm`` and ``grad_norm_clipped`` of the auxiliary gradient; in joint mode, at every eighth update,
    ``policy_grad_norm`` and ``policy_grad_norm_clipped`` over all that the owner trains, and ``gradient_angle``, in
    degrees, between both gradients on the encoder; ``latent_std`` and ``effective_rank`` of the last batch;
    ``updates``, the auxiliary gradients so far; and with ``label``, each 64 updates, ``label_accuracy``:
    nearest-centroid accuracy on the newer half of the newest 512 observations, centroids from the older half. An
    on-policy algorithm has not trained on these yet.

    Args:
        dynamics_weight: weight of the latent dynamics loss, at least 0.
        auxiliary_weight: weight of each auxiliary task's loss, at least 0; or a dict that names each.
        batch_size: transitions in an auxiliary batch; ``None``: a tenth of the algorithm's own batch, but
            at least 4, so that the cost stays in proportion; more teaches the encoder faster.
        every: only at every ``every``-th step of the owning optimizer.
        mode: ``"joint"`` or ``"alternating"``; TRPO takes only the latter.
        replay_ratio: auxiliary steps for each of the owner's that is answered; more than 1 in mode
            ``"alternating"`` only. More learns more from each environment step, and takes longer.
        rewarded_fraction: the part of an auxiliary batch, in [0, 1], that is drawn among transitions whose reward is
            not 0, once there are any (UNREAL's skewed sampling, arXiv 1611.05397); 0 draws all of it uniformly.
        max_grad_norm: largest norm of the auxiliary gradient; ``None`` for no clip.
        buffer_size: frames the ring keeps; see ``TransitionRing`` for its memory.
        seed: seed of the generator that draws batches.
        label: key of ``info`` whose value, a number, labels the observation.
        checkpoint_dir: folder in which the last good model is kept as ``last_good.zip``.
        verbose: as in Stable-Baselines3.

    Raises:
        ValueError: an argument is out of range, or does not suit the model.
        RuntimeError: the callback is not called at every step, as it must be to see every transition.
        FloatingPointError: a loss is not finite. On a CPU training stops before the step that would use it; on
            other devices, where looking would stall each step, at the next record.
    """

    def __init__(
        self,
        dynamics_weight: float = 2.0,
        auxiliary_weight: float | Mapping[str, float] = 10.0,
        batch_size: int | None = None,
        every: int = 1,
        mode: str = "joint",
        replay_ratio: int = 1,
        rewarded_fraction: float = 0.5,
        max_grad_norm: float | None = 0.5,
        buffer_size: int = 20_000,
        seed: int = 0,
        label: str | None = None,
        checkpoint_dir: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        self.objective = Objective(dynamics_weight, auxiliary_weight, max_grad_norm)
        if batch_size is not None:
            require_integer("batch_size", batch_size, least=1)
        require_integer("every", every, least=1)
        require_choice("mode", mode, MODES)
        require_integer("replay_ratio", replay_ratio, least=1)
        if mode == "joint" and replay_ratio > 1:
            raise ValueError(
                f"replay_ratio={replay_ratio} needs mode='alternating': in mode 'joint' the auxiliary gradient joins "
                "the algorithm's own steps, and a larger batch_size is what uses more transitions"
            )
        require_fraction("rewarded_fraction", rewarded_fraction)
        require_integer("buffer_size", buffer_size, least=1)
        require_integer("seed", seed, least=0)
        self.batch_size = batch_size
        self.every = every
        self.mode = mode
        self.replay_ratio = replay_ratio
        self.rewarded_fraction = rewarded_fraction
        self.buffer_size = buffer_size
        self.seed = seed
        self.label = label
        self.checkpoint_dir = None if checkpoint_dir is None else Path(checkpoint_dir)
        self.updates = 0
        self._kept_at = 0  # updates at the last checkpoint
        self._ring: TransitionRing | None = None
        self._ring_timesteps = -1  # environment steps of the model when the ring was last filled
        self._meter = Meter()
        self._owned: dict[Optimizer, Owned] = {}
        self._restored: dict[str, Any] | None = None
        self._transitions = 0  # in a batch
        self._training: float = -1  # start time of the training that the hooks belong to

    @property
    def ring(self) -> TransitionRing:
        """The transitions recorded so far."""
        if self._ring is None:
            raise RuntimeError("there are no transitions before training: pass the callback to model.learn()")
        return self._ring

    def save(self, path: str | Path) -> None:
        """Save transitions, counters, generator and own optimizers at ``path``, beside ``model.save``."""
        state = {
            "mode": self.mode,
            "updates": self.updates,
            "ring": self.ring.state(),
            "ring_timesteps": self._ring_timesteps,
            "owned": [
                {
                    "steps": owned.steps,
                    "answered": owned.answered,
                    "optimizer": None if owned.optimizer is None else owned.optimizer.state_dict(),
                }
                for owned in self._owned.values()
            ],
        }
        save_state(state, Path(path), KIND)

    def load(self, path: str | Path) -> "JEPACallback":
        """Take over what ``save`` saved, as soon as the next training starts; return the callback.

        Transitions recorded before are forgotten.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file was not written by ``save``, or by a callback of another mode.
        """
        state = load_state(Path(path), KIND)
        if state["mode"] != self.mode:
            raise ValueError(f"{path} was saved in mode={state['mode']!r}, this callback has mode={self.mode!r}")
        self._restored = state
        self._ring = None
        return self

    def _init_callback(self) -> None:
        if self.mode == "joint":
            sb3_adapter.require_joint(self.model)
        found: dict[Optimizer, Owned] = {}
        for extractor, owner in sb3_adapter.trained_extractors(self.model):
            if extractor.action_space != self.model.action_space:
                raise ValueError(
                    f"action_space={extractor.action_space} was given to jepa_policy_kwargs, and the model acts in "
                    f"{self.model.action_space}: give it env.action_space"
                )
            found.setdefault(owner, Owned()).extractors.append(extractor)
            self.objective.require_weights(extractor.jepa.tasks)
            if not any(parameter.requires_grad for parameter in extractor.parameters()):
                raise ValueError("the JEPAExtractor is frozen, so nothing could be trained: leave JEPACallback away")
            if self.label is None and any(task.needs_label for task in extractor.jepa.tasks):
                raise ValueError("an auxiliary task learns a label, and label=None: name its key of info")
        if found.keys() != self._owned.keys():  # the first training, or that of another model
            self._owned = found
            self._ring, self._ring_timesteps = None, -1
            self.updates = self._kept_at = 0
            self._meter = Meter()
            if self.mode == "alternating":
                for owned in found.values():
                    parameters = [p for extractor in owned.extractors for p in extractor.parameters()]
                    owned.optimizer = sb3_adapter.make_optimizer(self.model, parameters)
        self._transitions = self.batch_size or max(4, sb3_adapter.batch_size(self.model) // 10)

    def _on_training_start(self) -> None:
        self._fill_ring()
        if self._restored is not None:
            self._restore(self._restored)
            self._restored = None
        self._training = self.model.start_time
        for owner in self._owned:
            hooks.attach(owner, self)
        self._keep_last_good()

    def _on_rollout_start(self) -> None:
        # after a rollout's end it would be too late: stored log-probabilities would belong to another encoder
        if self.mode != "alternating" or not self.ring:
            return
        for owned in self._owned.values():
            assert owned.optimizer is not None
            sb3_adapter.follow_learning_rate(self.model, owned.optimizer)
            while owned.steps - owned.answered >= self.every:
                owned.answered += self.every
                for _ in range(self.replay_ratio):
                    owned.optimizer.zero_grad()
                    self._add_gradient(owned.extractors, measure_angle=False)
                    owned.optimizer.step()

    def _on_step(self) -> bool:
        if self.num_timesteps != self._ring_timesteps + self.training_env.num_envs:
            raise RuntimeError(
                f"JEPACallback was called at step {self._ring_timesteps}, and then at {self.num_timesteps}: give it to "
                "learn() itself, alone or in a list, not to a callback that calls it now and then"
            )
        self.ring.add(*sb3_adapter.read_step(self.model, self.locals, self.label))
        self._ring_timesteps = self.num_timesteps
        return True

    def _on_rollout_end(self) -> None:
        if self._meter.updates < RECORD_EVERY:
            return
        self._require_finite(self._meter.last_losses)
        self._meter.record(self.logger)
        self.logger.record("jepa/updates", self.updates)
        if self.updates - self._kept_at >= KEEP_EVERY or self._kept_at == 0:
            self._kept_at = self.updates
            self._record_label_accuracy()
            self._keep_last_good()

    def _on_training_end(self) -> None:
        self._training = -1  # hooks stay, and rest: one of another training must not act either

    @property
    def is_training(self) -> bool:
        """Whether the training that this callback was passed to is still the model's current one."""
        return self._training == self.model.start_time

    def measures_next(self, owner: Optimizer) -> bool:
        """Whether the next step of ``owner`` is one at which gradients are compared; see ``StepListener``."""
        return self.mode == "joint" and (self._owned[owner].steps + 1) % (self.every * MEASURE_EVERY) == 0

    def before_step(self, owner: Optimizer, policy_norm: torch.Tensor | None) -> None:
        """Count a step of ``owner`` and, in joint mode, add the auxiliary gradient; see ``StepListener``."""
        owned = self._owned[owner]
        owned.steps += 1
        if self.mode == "alternating" or owned.steps % self.every or not self.ring:
            return
        if policy_norm is not None:
            gradients = [p.grad for group in owner.param_groups for p in group["params"] if p.grad is not None]
            clipped = torch.nn.utils.get_total_norm(gradients)
            self._meter.add_rarely(policy_grad_norm=policy_norm, policy_grad_norm_clipped=clipped)
        self._add_gradient(owned.extractors, measure_angle=policy_norm is not None)

    def _add_gradient(self, extractors: list[JEPAExtractor], measure_angle: bool) -> None:
        """Add the gradient of the objective on one batch to the ``.grad`` of each extractor's parameters."""
        for extractor in extractors:
            batch = self.ring.sample(self._transitions, extractor.horizon, self.rewarded_fraction)
            batch = batch._replace(observations=sb3_adapter.as_the_policy_sees(self.model, batch.observations))
            next_actions = None
            if any(task.needs_next_actions(self.model.action_space) for task in extractor.jepa.tasks):
                following = batch.observations[:, 1:]
                flat = sb3_adapter.policy_actions(self.model, following.reshape(-1, *following.shape[2:]))
                next_actions = flat.reshape(batch.actions.shape)
            gamma: float = self.model.gamma  # type: ignore[attr-defined]
            losses, latents = extractor.losses(batch, self.model.policy.normalize_images, next_actions, gamma)
            if self.model.device.type == "cpu":
                self._require_finite(losses)
            gradient = self.objective.gradient(losses, extractor.parameters())
            if measure_angle:
                self._meter.add_angle(extractor.jepa.encoder, gradient)
            for parameter, value in zip(gradient.parameters, gradient.values, strict=True):
                if parameter.grad is None:
                    parameter.grad = value
                else:
                    parameter.grad += value
            self._meter.add(losses, gradient, latents)
            self.updates += 1

    def _fill_ring(self) -> None:
        """Make the ring if there is none, and begin a new stretch unless training goes on where it was."""
        observations = sb3_adapter.last_observations(self.model)
        if self._ring is None:
            space = self.model.action_space
            assert space.shape is not None
            self._ring = TransitionRing(observations, space.shape, np.dtype(space.dtype), self.buffer_size, self.seed)
            if self._restored is not None:
                self._ring.restore(self._restored["ring"])
                self._ring_timesteps = self._restored["ring_timesteps"]
        goes_on = self._ring_timesteps == self.model.num_timesteps and np.array_equal(
            self._ring.newest_observations(), observations
        )
        if not goes_on:
            self._ring.begin(observations, sb3_adapter.reset_labels(self.model, self.label))
            self._ring_timesteps = self.model.num_timesteps

    def _restore(self, state: dict[str, Any]) -> None:
        if len(state["owned"]) != len(self._owned):
            raise ValueError(
                f"the saved state is of {len(state['owned'])} trained encoders, the model has {len(self._owned)}"
            )
        self.updates = state["updates"]
        for owned, saved in zip(self._owned.values(), state["owned"], strict=True):
            owned.steps, owned.answered = saved["steps"], saved["answered"]
            if owned.optimizer is not None:
                owned.optimizer.load_state_dict(saved["optimizer"])

    def _require_finite(self, losses: Mapping[str, torch.Tensor]) -> None:
        for name, loss in losses.items():
            if not loss.isfinite():
                with suppress(OSError):  # the disk is full: what was kept before must do
                    self._keep_last_good()
                where = "" if self.checkpoint_dir is None else f"; the last good model is in {self._last_good_path()}"
                raise FloatingPointError(
                    f"{name}_loss is {loss.item()} at auxiliary update {self.updates}, step {self.num_timesteps}: "
                    f"training stops{where}"
                )

    def _keep_last_good(self) -> None:
        """Save the model where a checkpoint folder was given, unless a parameter is no longer finite."""
        if self.checkpoint_dir is None:
            return
        if all(bool(parameter.isfinite().all()) for parameter in self.model.policy.parameters()):
            save_model(self.model, self._last_good_path())

    def _last_good_path(self) -> Path:
        assert self.checkpoint_dir is not None
        return self.checkpoint_dir / "last_good.zip"

    def _record_label_accuracy(self) -> None:
        if self.label is None:
            return
        newest = self.ring.newest(NEWEST)
        labels = newest.labels[:, 1]
        known = np.isfinite(labels)
        if self.ring.has_ends and not self.ring.has_labels:
            raise ValueError(f"label={self.label!r} is not in info, in a whole episode: name a key that is")
        if known.sum() < 2:  # there are few: a later measurement will find some
            return
        extractor = next(iter(self._owned.values())).extractors[0]
        observations = sb3_adapter.as_the_policy_sees(self.model, newest.observations[known, 1])
        latents, labels = extractor.encode(observations, self.model.policy.normalize_images), labels[known]
        half = (len(latents) + 1) // 2
        accuracy = nearest_centroid_accuracy(latents[:half], labels[:half], latents[half:], labels[half:])
        self.logger.record("jepa/label_accuracy", accuracy)
