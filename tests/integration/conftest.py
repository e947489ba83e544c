"""Ids of the counting environment."""

import gymnasium as gym

import counting_env

gym.register_envs(counting_env)
