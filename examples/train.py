"""Train PPO, DQN or SAC to count through a JEPA encoder, then test the policy and picture its latents."""

import interrupts  # noqa: F401  # first, as the other imports take seconds

import argparse
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist
from sklearn.model_selection import train_test_split
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback, ProgressBarCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import LinearSchedule

import counting_env
from jepa_extractor import JEPACallback, jepa_policy_kwargs
from jepa_extractor.audit.encoding import encode_observations
from jepa_extractor.checkpoint import replace_file
from jepa_extractor.diagnostics import effective_rank, latent_std, nearest_centroid_accuracy

gym.register_envs(counting_env)
