"""CountingEnv: images of 0 to 8 objects; actions add or remove one; reward 1 at four.

Importing this package registers with Gymnasium ``CountingEnv-v0`` (two discrete actions),
``CountingEnvContinuous-v0`` (one number whose sign decides), and ``CountingEnvHard-v0`` (0 to 32
objects, target 16).
"""

from importlib.metadata import version

from gymnasium.envs.registration import register

from counting_env.env import CountingEnv as CountingEnv
from counting_env.kernels import SHAPES as SHAPES
from counting_env.mdp import count_mdp as count_mdp
from counting_env.vector_env import CountingVectorEnv as CountingVectorEnv

__all__ = ["SHAPES", "CountingEnv", "CountingVectorEnv", "count_mdp"]
__version__ = version("counting-jepa")

register(
    id="CountingEnv-v0",
    entry_point="counting_env.env:CountingEnv",
    vector_entry_point="counting_env.vector_env:CountingVectorEnv",
    max_episode_steps=4,
    reward_threshold=0.95,
)
register(
    id="CountingEnvContinuous-v0",
    entry_point="counting_env.env:CountingEnv",
    vector_entry_point="counting_env.vector_env:CountingVectorEnv",
    max_episode_steps=4,
    reward_threshold=0.95,
    kwargs={"continuous": True},
)
register(
    id="CountingEnvHard-v0",
    entry_point="counting_env.env:CountingEnv",
    vector_entry_point="counting_env.vector_env:CountingVectorEnv",
    max_episode_steps=16,
    reward_threshold=0.95,
    kwargs={"target": 16, "max_count": 32},
)
