"""What has an untrained NatureCNN collapsed that must stay apart, and what has a pretrained JEPA? A page shows it."""

import argparse

import gymnasium as gym
import torch
from stable_baselines3.common.torch_layers import NatureCNN

import counting_env
from jepa_extractor import JEPA, TransitionRing, pretrain, random_episodes
from jepa_extractor.audit import AuditSet, audit, write_page

gym.register_envs(counting_env)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--updates", type=int, default=300, help="updates of the JEPA")
parser.add_argument("--out", default="runs/audit.html", help="file of the page")
args = parser.parse_args()
torch.manual_seed(0)
envs = gym.make_vec("CountingEnv-v0", 64, vectorization_mode="vector_entry_point")
jepa = JEPA(envs.single_observation_space, envs.single_action_space)
network = NatureCNN(jepa.observation_space)
pretrain(jepa, TransitionRing.from_episodes(random_episodes(envs, 10_000, seed=0), seed=0), args.updates)
held_out = AuditSet.from_episodes(random_episodes(envs, 2_000, seed=1), actions=("remove", "add"))
reports = [audit(network, held_out, "NatureCNN, untrained"), audit(jepa, held_out, "JEPA")]
for report in reports:
    print(f"{report.name}: collapse index {report.collapse_index:.3f}")
write_page(reports, args.out)
