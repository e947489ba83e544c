"""``GymnasiumVecEnv`` for those who have the extra ``sb3`` alone: it needs Stable-Baselines3, and nothing of a JEPA."""

from jepa_extractor.sb3.vec_env import GymnasiumVecEnv

__all__ = ["GymnasiumVecEnv"]
