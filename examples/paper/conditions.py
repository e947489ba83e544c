"""What is compared: which losses reach the encoder, in which order, and what the latent transition predicts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A part of the training, and the weights of the losses whose gradient reaches the encoder."""

    share: float  # of all updates
    dynamics_weight: float
    auxiliary_weight: float


@dataclass(frozen=True)
class Condition:
    """One way to train an encoder."""

    title: str
    auxiliary: str = "reward"  # the name of a task, or "label" for the count
    target: str = "online"  # of the latent transition: online, detach or ema
    other_reward: bool = False  # whether another count is rewarded
    stages: tuple[Stage, ...] = (Stage(1.0, dynamics_weight=2.0, auxiliary_weight=10.0),)


ONLY_DYNAMICS = Stage(1.0, dynamics_weight=2.0, auxiliary_weight=0.0)
ONLY_AUXILIARY = Stage(1.0, dynamics_weight=0.0, auxiliary_weight=10.0)

PAPER = {
    "joint": Condition("P-JEPA, reward"),
    "random": Condition("P-JEPA, random target", auxiliary="random", stages=(Stage(1.0, 2.0, 1.0),)),
    "reward_only": Condition("reward only", stages=(ONLY_AUXILIARY,)),
    "dynamics_only": Condition("dynamics only", stages=(ONLY_DYNAMICS,)),
}
BEYOND = {
    "other_reward": Condition("P-JEPA, reward of another count", other_reward=True),
    "label": Condition("P-JEPA, count as label", auxiliary="label", stages=(Stage(1.0, 2.0, 0.2),)),
    "q": Condition("P-JEPA, Q", auxiliary="q"),
    "reward_then_dynamics": Condition("reward, then dynamics", stages=(Stage(0.5, 0.0, 10.0), Stage(0.5, 2.0, 0.0))),
    "dynamics_then_reward": Condition("dynamics, then reward", stages=(Stage(0.5, 2.0, 0.0), Stage(0.5, 0.0, 10.0))),
    "detach": Condition("P-JEPA, reward, detached target", target="detach"),
    "ema": Condition("P-JEPA, reward, slow target", target="ema"),
}
CONDITIONS = PAPER | BEYOND
