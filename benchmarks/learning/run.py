"""One run of the comparison: train until the policy succeeds, and record the learning curve."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

from jepa_extractor import JEPACallback, jepa_policy_kwargs
from jepa_extractor.checkpoint import replace_file
from learning.cases import ALGORITHMS, COMPETITORS, TASKS

SUCCESS = 0.95
EPISODES = 200
UNSEEN_SEED = 1_000_000  # evaluation seeds start here, far above those of training
EVALUATE_EVERY = 256  # environment steps, at first


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """Train one competitor until it succeeds in 95% of unseen episodes, or its budget is spent, and save the model.

    Returns:
        ``"curve"``: rows of environment steps, seconds of training and success rate, one for each evaluation;
        ``"steps"`` and ``"seconds"`` of the first with enough success, ``None`` where there was none; and the
        ``"budget"`` in steps. The seconds are those of the processor, on a study's one thread the wall time of an idle
        machine, without the evaluations.
    """
    task, name = TASKS[configuration["task"]], configuration["algorithm"]
    algorithm, competitor = ALGORITHMS[name], COMPETITORS[configuration["competitor"]]
    env = task.make(name)
    start = time.process_time()
    features = {} if competitor.extractor is None else jepa_policy_kwargs(env.action_space, **competitor.extractor)
    model = algorithm.build(
        "CnnPolicy",
        env,
        gamma=task.discount,
        policy_kwargs={"net_arch": [64], **features},
        seed=seed,
        device="cpu",
        **{**algorithm.arguments, **competitor.settings.get(name, {})},
    )
    evaluation = Evaluation(task.make(name, num_envs=50, **task.evaluation), seed, start)
    callbacks: list[BaseCallback] = [evaluation]
    if competitor.callback is not None:
        callbacks.append(JEPACallback(seed=seed, **competitor.callback))
    model.learn(configuration["steps"], callback=callbacks)
    replace_file(folder / "model.zip", model.save)
    last_steps, last_seconds, _ = evaluation.curve[-1]
    return {
        "budget": configuration["steps"],
        "curve": evaluation.curve,
        "steps": last_steps if evaluation.solved else None,
        "seconds": last_seconds if evaluation.solved else None,
    }


class Evaluation(BaseCallback):
    """Evaluates on unseen seeds, the same each time, and ends the training once that succeeds."""

    def __init__(self, env: VecEnv, seed: int, start: float) -> None:
        super().__init__()
        self.curve: list[tuple[int, float, float]] = []
        self._env = env
        self._seed = UNSEEN_SEED + seed
        self._start = start
        self._evaluating = 0.0  # seconds
        self._next = EVALUATE_EVERY

    @property
    def solved(self) -> bool:
        """Whether the last evaluation found enough success."""
        return bool(self.curve) and self.curve[-1][2] >= SUCCESS

    def _on_rollout_start(self) -> None:
        # not at every step: during a rollout the policy does not change
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps + max(EVALUATE_EVERY, self.num_timesteps // 8)  # logarithmic
            self._evaluate()

    def _on_step(self) -> bool:
        return not self.solved

    def _on_training_end(self) -> None:
        if not self.solved and (not self.curve or self.curve[-1][0] < self.num_timesteps):
            self._evaluate()

    def _evaluate(self) -> None:
        """Measure the success rate, and add it to the curve."""
        before = time.process_time()
        self._env.seed(self._seed)
        returns, _ = evaluate_policy(self.model, self._env, EPISODES, deterministic=True, return_episode_rewards=True)
        success = float(np.mean(np.array(returns) > 0))
        self._evaluating += time.process_time() - before
        seconds = time.process_time() - self._start - self._evaluating
        self.curve.append((self.num_timesteps, round(seconds, 2), success))
