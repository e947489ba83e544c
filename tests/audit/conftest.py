"""Audits whose answer is known: nine counts, of which an encoder merges 6, 7 and 8."""

import gymnasium as gym
import pytest
import torch

import counting_env
from jepa_extractor import JEPA, random_episodes
from jepa_extractor.audit import AuditSet, audit
from jepa_extractor.audit.report import audit_latents
from tests.audit.page.known_audits import merged_latents

ACTIONS = ("remove", "add")


@pytest.fixture(scope="session")
def envs():
    return gym.make_vec("CountingEnv-v0", num_envs=8, vectorization_mode="vector_entry_point")


@pytest.fixture(scope="session")
def episodes(envs):
    return list(random_episodes(envs, 600, seed=0, labels=("count",)))


@pytest.fixture(scope="session")
def without_labels(episodes):
    """What must stay apart, from episodes alone."""
    return AuditSet.from_episodes(episodes, ACTIONS, env="CountingEnv-v0")


@pytest.fixture(scope="session")
def with_classes(episodes):
    """What must stay apart, by the exact classes."""
    mdp = counting_env.count_mdp()
    return AuditSet.from_classes(episodes, "count", mdp=mdp, actions=ACTIONS, env="CountingEnv-v0")


@pytest.fixture(scope="session")
def extractor(envs):
    torch.manual_seed(0)
    return JEPA(envs.single_observation_space, envs.single_action_space)


@pytest.fixture(scope="session")
def merged(with_classes):
    return audit_latents(merged_latents(with_classes), with_classes, "merged")


@pytest.fixture(scope="session")
def untrained(with_classes, extractor):
    return audit(extractor, with_classes, "untrained")
