"""One run of the comparison: train for a number of steps, and evaluate on the way."""

import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

from jepa_extractor import JEPACallback, jepa_policy_kwargs
from returns.cases import ALGORITHMS, ARMS, TASKS
from returns.environments import Environment

EVALUATIONS = 4
EPISODES, EVALUATED = 16, 8  # of an evaluation; environments at a time
UNSEEN_SEED = 1_000_000  # evaluation seeds start here, far above those of training


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    """Train one arm on one task.

    Returns:
        ``"returns"``: the mean return at each evaluation; ``"seconds"`` of the processor, without the evaluations; and,
        where the task has a distractor, ``"shifted"``: the mean return at the end with another distractor.
    """
    task, arm = TASKS[configuration["task"]], ARMS[configuration["arm"]]
    algorithm = ALGORITHMS[task.algorithm]
    env = task.environment.make(algorithm.num_envs, seed)
    start = time.process_time()
    model = algorithm.build(
        "MlpPolicy",  # the encoder is given by name, whatever the observations are
        env,
        policy_kwargs={
            **algorithm.policy,
            **jepa_policy_kwargs(env.action_space, **{**arm.extractor, **task.network}),
        },
        seed=seed,
        device="cpu",
        **{
            **algorithm.arguments,
            "learning_rate": configuration["learning_rate"],
            algorithm.updates: algorithm.arguments[algorithm.updates] * arm.updates,
        },
    )

    def evaluate(environment: Environment) -> float:
        return mean_return(model, environment.make(EVALUATED, UNSEEN_SEED + seed))

    evaluation = Evaluation(partial(evaluate, task.environment), configuration["steps"])
    callbacks: list[BaseCallback] = [evaluation]
    if arm.callback is not None:
        callbacks.append(JEPACallback(seed=seed, **arm.callback))
    model.learn(configuration["steps"], callback=callbacks)
    result = {"seconds": time.process_time() - start - evaluation.seconds, "returns": evaluation.returns}
    if task.shifted is not None:
        result["shifted"] = evaluate(task.shifted)
    return result


class Evaluation(BaseCallback):
    """Evaluates four times, evenly spread over a training, the last time at its end.

    Attributes:
        returns: what ``evaluate`` returned.
        seconds: of the processor, that this has taken.
    """

    def __init__(self, evaluate: Callable[[], float], steps: int) -> None:
        super().__init__()
        self.returns: list[float] = []
        self.seconds = 0.0
        self._measure = evaluate
        self._steps = steps

    def _on_rollout_start(self) -> None:
        # not at every step: during a rollout the policy does not change
        if self.num_timesteps >= self._steps * (len(self.returns) + 1) / EVALUATIONS:
            self._evaluate()

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        while len(self.returns) < EVALUATIONS:
            self._evaluate()

    def _evaluate(self) -> None:
        before = time.process_time()
        self.returns.append(self._measure())
        self.seconds += time.process_time() - before


def mean_return(model: BaseAlgorithm, env: VecEnv) -> float:
    """Return the mean return of 16 episodes of the deterministic policy, and close the environments."""
    with contextlib.closing(env):
        mean, _ = evaluate_policy(model, env, EPISODES)
    assert isinstance(mean, float)
    return mean
