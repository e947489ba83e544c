"""What is compared: ways to train an encoder, and worlds that make planning hard."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One case of the study. Every extractor is trained at one goal, without a look at the others."""

    title: str
    way: str = "joint"  # see goals.train
    env_id: str = "CountingEnv-v0"
    background: str = "black"
    slip: float = 0.0  # in training and test
    transitions: int = 20_000  # under random actions
    updates: int = 500  # of the encoder
    transition_updates: int = 1_000  # of the transition on the finished encoder
    ppo_steps: int = 30_720  # of the frozen PPO; at most, for each goal, of the PPO from scratch
    each: int = 1  # labelled pictures of each count
    drawn: int = 50  # labelled pictures of counts drawn at random, in a second measurement; 0 for none
    horizon: int = 8  # of the planner, and steps of an episode in the test
    episodes: int = 128  # for each goal


WAYS = {
    "joint": Case("joint, reward"),
    "reward_only": Case("reward only", way="reward_only"),
    "dynamics_only": Case("dynamics only", way="dynamics_only"),
    "label": Case("joint, count as label", way="label"),
    "untrained": Case("untrained", way="untrained"),
    "frozen_ppo": Case("PPO with NatureCNN, frozen", way="frozen_ppo"),
}
NOISE = {
    "joint_noise": Case("joint, reward", background="noise"),
    "reward_only_noise": Case("reward only", way="reward_only", background="noise"),
    "dynamics_only_noise": Case("dynamics only", way="dynamics_only", background="noise"),
    "untrained_noise": Case("untrained", way="untrained", background="noise"),
}
SCRATCH = {"scratch": Case("PPO from scratch", way="scratch", ppo_steps=20_480)}
HARD = {
    "hard": Case("joint, reward", env_id="CountingEnvHard-v0", updates=1_000, each=2, drawn=0, horizon=32, episodes=64)
}
SLIP = {
    "slip_0.1": Case("slip 0.1", slip=0.1, drawn=0),
    "slip_0.2": Case("slip 0.2", slip=0.2, drawn=0),
    "slip_0.3": Case("slip 0.3", slip=0.3, drawn=0),
}
# where no dynamics loss trained the transition before
TRANSITION = {
    "transition_10": Case("transition, 10 updates", way="reward_only", transition_updates=10, drawn=0),
    "transition_100": Case("transition, 100 updates", way="reward_only", transition_updates=100, drawn=0),
}
FEW_UPDATES = {
    "joint_10": Case("encoder, 10 updates", updates=10, drawn=0),
    "joint_30": Case("encoder, 30 updates", updates=30, drawn=0),
    "joint_100": Case("encoder, 100 updates", updates=100, drawn=0),
}
CASES = WAYS | NOISE | SCRATCH | HARD | SLIP | TRANSITION | FEW_UPDATES
