"""A valid call of every public entry, and a check of what it returns.

The world is a chain of four states, seen as one-hot observations; arriving at the last is rewarded.
"""

import copy
from functools import cache
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

import counting_env
import jepa_extractor as je
from jepa_extractor import audit, bisimulation, machine, objectives, planning
from jepa_extractor.audit.moments import Moment
from jepa_extractor.data import Step
from jepa_extractor.envs import TOMITA, Strings, TableImages, parentheses, random_language
from tests.audit import worlds

SEEN = spaces.Box(0, 1, (4,), np.float32)
ACTS = spaces.Discrete(2)
SUCCESSORS = np.array([[0, 1], [0, 2], [1, 3], [2, 3]])
VALUES = np.array([0.0, 0.0, 0.0, 1.0])
EYE = np.eye(4, dtype=np.float32)


class Call(NamedTuple):
    """A valid call.

    Attributes:
        function: what is called.
        arguments: by name, made anew for each call.
        check: takes the result and the arguments; asserts what holds of any result.
        errors: documented errors beside ``ValueError`` and ``TypeError``.
        words: what a message may say in place of an argument's name.
    """

    function: Any
    arguments: Any
    check: Any
    errors: tuple = ()
    words: tuple = ()


@cache
def episodes():
    rng, made = np.random.default_rng(0), []
    for _ in range(12):
        states, actions = [int(rng.integers(3))], rng.integers(2, size=5)
        for action in actions:
            states.append(int(SUCCESSORS[states[-1], action]))
        rewards = VALUES[states[1:]].astype(np.float32)
        made.append(je.Episode(EYE[states], actions, rewards, False, {"state": np.array(states, float)}))
    return made


@cache
def jepa():
    torch.manual_seed(0)
    options = {"auxiliary": ("reward", "end"), "encoder": "identity", "transition_kwargs": {"hidden": 8}}
    made = je.JEPA(SEEN, ACTS, latent_dim=4, **options)
    made.updates += 1
    return made


@cache
def audit_set():
    return audit.AuditSet.from_episodes(episodes(), 2)


@cache
def report():
    return audit.audit(jepa(), audit_set())


@cache
def automaton():
    return machine.learned_machine(jepa(), episodes())


@cache
def model():
    return worlds.make_model(PPO)


def ring():
    return je.TransitionRing.from_episodes(episodes(), 0)


def filled(**arguments):
    made = je.TransitionRing(SEEN, ACTS, 2, 20, 0)
    made.begin(EYE[:2])
    made.add(step())
    return made


def step():
    ends = np.array([False, True])
    known = {"state": np.array([1.0, 2.0])}
    return Step(np.array([0, 1]), np.array([0.0, 1.0]), ends, ends, EYE[:2], EYE[2:], known, known)


def envs():
    return gym.make_vec("CountingEnv-v0", 2, "vector_entry_point", vector_kwargs=None, image_size=32)


def lake():
    return gym.make("FrozenLake-v1", render_mode="rgb_array", is_slippery=False)


def finite(tensor, shape=None):
    numbers = np.asarray(tensor.detach() if isinstance(tensor, torch.Tensor) else tensor)
    assert np.isfinite(numbers).all()
    assert shape is None or numbers.shape == shape


def anything(result, arguments):
    """Nothing is promised of the result."""


def learns(made, arguments):
    """A JEPA encodes, and its loss is finite."""
    space = arguments.get("observation_space", SEEN)
    rows = np.stack([space.sample() for _ in range(3)]) if not isinstance(space, spaces.Dict) else None
    if rows is not None and np.isfinite(rows).all():
        finite(made.encode(rows), (3, made.latent_dim))


def trained_with(kind):
    """Return a function that makes a task, a JEPA with it, and its loss on a batch."""

    def loss(**arguments):
        made = je.JEPA(SEEN, ACTS, latent_dim=4, encoder="identity", auxiliary=(kind(**arguments),))
        return made.loss(ring().sample(4))[0]

    return loss


def scalar(result, arguments):
    finite(result, ())


def draws(made, arguments):
    """A ring takes steps and gives batches."""
    seen, act = arguments["observation_space"], arguments["action_space"]
    if isinstance(seen, spaces.Dict):
        return
    n = arguments["num_envs"]
    frames, ends = np.stack([seen.sample() for _ in range(n)]), np.zeros(n, np.bool_)
    made.begin(frames)
    made.add(Step(np.stack([act.sample() for _ in range(n)]), np.ones(n), ends, ends, frames, frames))
    given = made.newest(n).observations
    assert (given[:, 0].numpy() == frames).all()
    assert (given[:, 1].numpy() == frames).all()
    assert len(made) == n


def stretches(batch, arguments):
    count = arguments.get("batch_size", arguments.get("count"))
    assert batch.rewards.shape[0] == count or "count" in arguments
    finite(batch.rewards)


def same_partition(classes, arguments):
    assert len(classes) == len(np.asarray(arguments["values"]))
    assert classes[0] == 0


def kept(result, arguments):
    assert len(result) == sum(len(episode.rewards) + 1 for episode in arguments["episodes"])


def steps_of(result, arguments):
    assert sum(len(episode.rewards) for episode in result) >= arguments["transitions"]


def decided(result, arguments):
    assert result.verdict.word in str(result)
    assert 0 <= result.collapse_index <= 1 or np.isnan(result.collapse_index)


def acts(result, arguments):
    assert ACTS.contains(int(np.ravel(result[0])[0]))


def plays(env, arguments):
    seen, _ = env.reset(seed=0)
    assert env.observation_space.contains(seen)
    action = env.action_space.sample()
    assert env.observation_space.contains(env.step(action)[0])


def wrote(result, arguments):
    path = arguments.get("path", arguments.get("writer"))
    assert path is None or not isinstance(path, str) or __import__("os").path.exists(path)


def steady(result, arguments):
    assert isinstance(result, machine.Machine)
    assert result.minimised().live.any()
    finite(result.rewards)


def table(folder):
    """Return all calls by name; files are written into ``folder``."""
    folder = str(folder)
    audit_set().save(f"{folder}/given.npz")
    machine.save_machine(automaton(), f"{folder}/given.json")
    planning.LatentPlanner(jepa()).save(f"{folder}/given.pt")
    graph = machine.to_networkx(automaton())
    chain = machine.Machine.from_mdp(SUCCESSORS, VALUES, starts=[0])
    latents, classes = np.tile(EYE, (4, 1)) + 0.01 * np.arange(16)[:, None], np.tile(np.arange(4), 4)
    random_moves = [EYE[SUCCESSORS[:, 0]].astype(float), EYE[SUCCESSORS[:, 1]] / 2 + EYE[SUCCESSORS[:, 0]] / 2]
    toy = {state: {a: [(1.0, int(SUCCESSORS[state, a]), 0.0, False)] for a in (0, 1)} for state in range(4)}
    empirical = bisimulation.EmpiricalBisimulation(SUCCESSORS, VALUES)
    number = {"weight": 1.0, "latents": "both", "head": "number", "head_kwargs": {"hidden": 4}, "discount": 0.5}
    options = {
        "latent_dim": 4,
        "encoder": "mlp",
        "encoder_kwargs": {},
        "transition": "mlp",
        "transition_kwargs": {"hidden": 8},
        "normalization": "layer",
        "normalize_images": True,
        "auxiliary": ("reward", "end"),
        "dynamics": "squared",
        "dynamics_weight": 2.0,
        "target": "ema",
        "target_kwargs": {"rate": 0.01},
        "horizon": 1,
        "augmentation": (),
    }
    counting = {
        "target": 4,
        "max_count": 8,
        "image_size": 32,
        "continuous": False,
        "reward": "sparse",
        "placement": "resample",
        "appearance": "episode",
        "background": "black",
        "terminate_on_target": True,
        "least_count": 0,
        "wrap": False,
        "slip": 0.1,
        "render_mode": None,
    }
    arrays = {
        "successors": SUCCESSORS,
        "rewards": np.zeros((4, 2)),
        "ends": np.zeros((4, 2), np.bool_),
        "counts": np.ones((4, 2), np.int64),
        "certainty": np.ones((4, 2)),
        "starts": np.array([0]),
        "names": ("a", "b", "c", "d"),
        "action_names": ("left", "right"),
        "prototypes": EYE,
        "prototype_nodes": np.arange(4),
    }
    image = counting_env.CountingEnv(image_size=32)
    return {
        # jepa_extractor
        "random_episodes": Call(
            lambda **given: list(je.random_episodes(**given)),
            lambda: {"envs": envs(), "transitions": 6, "seed": 0, "labels": ("count",)},
            steps_of,
            words=("label",),
        ),
        "TransitionRing": Call(
            je.TransitionRing,
            lambda: {"observation_space": SEEN, "action_space": ACTS, "num_envs": 2, "capacity": 12, "seed": 0},
            draws,
        ),
        "TransitionRing.from_episodes": Call(
            je.TransitionRing.from_episodes, lambda: {"episodes": episodes(), "seed": 0}, lambda made, _: made.sample(2)
        ),
        "TransitionRing.begin": Call(
            lambda **given: je.TransitionRing(SEEN, ACTS, 2, 12, 0).begin(**given),
            lambda: {"observations": EYE[:2], "labels": {"state": np.array([0.0, 1.0])}},
            anything,
        ),
        "TransitionRing.add": Call(
            lambda **given: filled().add(**given), lambda: {"step": step()}, anything, words=("observations", "labels")
        ),
        "TransitionRing.sample": Call(
            lambda **given: ring().sample(**given),
            lambda: {"batch_size": 4, "horizon": 2, "rewarded_fraction": 0.5},
            stretches,
        ),
        "TransitionRing.newest": Call(lambda **given: ring().newest(**given), lambda: {"count": 4}, stretches),
        "JEPA": Call(
            je.JEPA,
            lambda: {"observation_space": SEEN, "action_space": ACTS, **options},
            learns,
            words=("transition", "encoder", "target"),
        ),
        "JEPA.encode": Call(
            lambda **given: jepa().encode(**given),
            lambda: {"observations": EYE},
            lambda result, given: finite(result, (len(given["observations"]), 4)),
        ),
        "JEPA.loss": Call(
            lambda **given: copy.deepcopy(jepa()).loss(**given)[0],
            lambda: {"batch": ring().sample(3, horizon=2)},
            lambda loss, _: loss.item(),
        ),
        "JEPA.predict": Call(
            lambda **given: jepa().predict(**given),
            lambda: {"latents": torch.eye(4), "actions": torch.tensor([0, 1, 1, 0])},
            lambda result, given: result.shape == given["latents"].shape,
            words=("latents", "actions"),
        ),
        "JEPA.unroll": Call(
            lambda **given: jepa().unroll(**given),
            lambda: {"latents": torch.eye(4), "actions": torch.zeros(4, 3, dtype=torch.long)},
            lambda result, _: result.shape[2] == 4,
            words=("latents", "actions"),
        ),
        "RewardTask": Call(trained_with(je.RewardTask), lambda: number, scalar, words=("head",)),
        "ActionRewardTask": Call(trained_with(je.ActionRewardTask), lambda: number, scalar, words=("head",)),
        "EndTask": Call(trained_with(je.EndTask), lambda: number, scalar, words=("head",)),
        "QTask": Call(trained_with(je.QTask), lambda: {"weight": 1.0, "discount": 0.9}, scalar),
        "LabelTask": Call(trained_with(je.LabelTask), lambda: {"label": "state", "weight": 1.0}, scalar),
        "RandomTask": Call(trained_with(objectives.RandomTask), lambda: {"size": 3, "seed": 0, "weight": 1.0}, scalar),
        "VICReg": Call(trained_with(objectives.VICReg), lambda: {"weight": 1.0, "covariance": 0.04}, scalar),
        "R2R2": Call(trained_with(objectives.R2R2), lambda: {"weight": 1.0}, scalar),
        "SIGReg": Call(
            trained_with(objectives.SIGReg), lambda: {"weight": 1.0, "slices": 3, "knots": 4, "limit": 5.0}, scalar
        ),
        "JEPACallback": Call(
            je.JEPACallback,
            lambda: {
                "schedule": je.Joint(),
                "batch_size": 4,
                "rewarded_fraction": 0.5,
                "max_grad_norm": 0.5,
                "buffer_size": 100,
                "seed": 0,
                "probe": "count",
                "checkpoint_dir": folder,
                "verbose": 0,
            },
            lambda made, _: copy.deepcopy(made),
        ),
        "JEPAExtractor": Call(
            je.JEPAExtractor,
            lambda: {"observation_space": SEEN, "action_space": ACTS, **options},
            lambda made, given: learns(made.jepa, given),
            words=("transition", "encoder", "target"),
        ),
        "jepa_policy_kwargs": Call(
            je.jepa_policy_kwargs,
            lambda: {"env_or_space": image, "recipe": "paper", "latent_dim": 4},
            lambda result, _: result["features_extractor_class"],
        ),
        "load_pretrained": Call(
            je.load_pretrained,
            lambda: {
                "model": model(),
                "pretrained": copy.deepcopy(model().policy.features_extractor.jepa),
                "freeze": False,
            },
            anything,
            (OSError,),
            words=("path",),
        ),
        "Joint": Call(je.Joint, lambda: {"every": 2}, lambda made, _: repr(made)),
        "Shared": Call(je.Shared, lambda: {"every": 2}, lambda made, _: repr(made)),
        "Alternating": Call(je.Alternating, lambda: {"every": 2, "replay_ratio": 2}, lambda made, _: repr(made)),
        "pretrain": Call(
            je.pretrain,
            lambda: {
                "jepa": copy.deepcopy(jepa()),
                "transitions": ring(),
                "updates": 2,
                "batch_size": 4,
                "learning_rate": 1e-3,
                "rewarded_fraction": 0.5,
                "max_grad_norm": 0.5,
                "transition_updates": 1,
                "measure": lambda _: 0.5,
                "stop_at": 0.9,
                "check_every": 1,
                "checkpoint": None,
                "on_check": lambda _: None,
                "progress_bar": False,
            },
            lambda records, _: finite([record["dynamics_loss"] for record in records]),
            (OSError, FloatingPointError),
            words=("loss is", "JEPA", "dict"),
        ),
        "fit_transition": Call(
            je.fit_transition,
            lambda: {
                "jepa": copy.deepcopy(jepa()),
                "transitions": ring(),
                "updates": 2,
                "horizon": 2,
                "batch_size": 4,
                "learning_rate": 1e-3,
            },
            lambda _, given: learns(given["jepa"], {}),
        ),
        # audit
        "AuditSet.from_episodes": Call(
            audit.AuditSet.from_episodes,
            lambda: {"episodes": episodes(), "actions": 2, "tolerance": 0.1, "env": "chain", "auxiliary": "reward"},
            kept,
        ),
        "AuditSet.from_classes": Call(
            audit.AuditSet.from_classes,
            lambda: {
                "episodes": episodes(),
                "label": "state",
                "mdp": (SUCCESSORS, VALUES),
                "actions": ("left", "right"),
                "env": "chain",
            },
            kept,
            words=("successors", "values"),
        ),
        "AuditSet.collect": Call(
            audit.AuditSet.collect,
            lambda: {
                "env": "Places-v0",
                "steps": 20,
                "policy": "random",
                "classes_from": "place",
                "mdp": None,
                "labels": ("state",),
                "actions": ("left", "right"),
                "tolerance": None,
                "auxiliary": "reward",
                "episodes": None,
                "seed": 0,
            },
            lambda made, _: made.coverage(),
            (gym.error.Error,),
            words=("label", "module", "environment"),
        ),
        "AuditSet.sample_pairs": Call(
            audit_set().sample_pairs, lambda: {"n": 3, "seed": 0}, lambda pairs, given: len(pairs[0]) <= given["n"]
        ),
        "AuditSet.apart": Call(
            audit_set().apart, lambda: {"left": np.array([0, 1]), "right": np.array([2, 3])}, lambda made, _: len(made)
        ),
        "AuditSet.why": Call(audit_set().why, lambda: {"left": 0, "right": 5}, lambda made, _: made.strip()),
        "AuditSet.save": Call(audit_set().save, lambda: {"path": f"{folder}/a.npz"}, wrote, (OSError,)),
        "AuditSet.load": Call(
            audit.AuditSet.load, lambda: {"path": f"{folder}/given.npz"}, lambda made, _: made.coverage(), (OSError,)
        ),
        "audit": Call(
            audit.audit,
            lambda: {
                "encoder": jepa(),
                "audit_set": audit_set(),
                "name": "encoder",
                "seed": 0,
                "vec_normalize": None,
                "frame_stack": None,
                "controls": False,
            },
            decided,
        ),
        "audit.compare": Call(
            audit.compare, lambda: {"reports": [report()]}, lambda made, _: made.row_count, words=("report",)
        ),
        "compare_classes": Call(
            audit.compare_classes,
            lambda: {
                "latents": latents,
                "classes": classes,
                "required": ~np.eye(4, dtype=np.bool_),
                "distances": np.ones((4, 4)) - np.eye(4),
            },
            lambda made, _: finite(made.errors),
            words=("required", "distances"),
        ),
        "to_parquet": Call(
            audit.to_parquet, lambda: {"report": report(), "path": f"{folder}/a.parquet"}, wrote, (OSError,)
        ),
        "to_tensorboard": Call(
            audit.to_tensorboard,
            lambda: {"report": report(), "writer": f"{folder}/board", "step": 0},
            wrote,
            (OSError,),
        ),
        "write_page": Call(
            audit.write_page,
            lambda: {
                "reports": [report()],
                "path": f"{folder}/a.html",
                "encoders": {"encoder": jepa()},
                "histories": {"run": [Moment(0, {"collapse_index": 0.5})]},
                "facts": {"steps": "5"},
            },
            wrote,
            (OSError,),
            words=("report", "history", "histories", "fact", "encoder"),
        ),
        # bisimulation
        "largest_bisimulation": Call(
            bisimulation.largest_bisimulation,
            lambda: {"successors": SUCCESSORS, "values": VALUES, "tolerance": 0.0},
            same_partition,
        ),
        "quotient_mdp": Call(
            bisimulation.quotient_mdp,
            lambda: {"successors": SUCCESSORS, "values": VALUES, "classes": np.arange(4), "tolerance": 0.0},
            lambda made, _: len(made[0]) == len(made[1]),
        ),
        "distinguishing_actions": Call(
            bisimulation.distinguishing_actions,
            lambda: {"successors": SUCCESSORS, "values": VALUES, "i": 0, "j": 1, "tolerance": 0.0},
            anything,
        ),
        "EmpiricalBisimulation": Call(
            bisimulation.EmpiricalBisimulation,
            lambda: {"successors": SUCCESSORS, "values": VALUES, "tolerance": 0.0},
            lambda made, given: same_partition(made.classes(), given),
        ),
        "EmpiricalBisimulation.distinguishable_pairs": Call(
            empirical.distinguishable_pairs,
            lambda: {"pairs": np.array([[0, 1], [1, 2]])},
            lambda made, given: len(made) == len(given["pairs"]),
        ),
        "EmpiricalBisimulation.sample_pairs": Call(
            empirical.sample_pairs, lambda: {"n": 3, "seed": 0}, lambda made, given: len(made) == given["n"]
        ),
        "EmpiricalBisimulation.witness": Call(empirical.witness, lambda: {"i": 0, "j": 1}, anything),
        "arrival_rewards": Call(
            bisimulation.arrival_rewards,
            lambda: {"episode": episodes()[0]},
            lambda made, given: len(made) == len(given["episode"].rewards) + 1,
        ),
        "empirical_data": Call(
            bisimulation.empirical_data,
            lambda: {"episodes": episodes(), "num_actions": 2, "values": lambda one: np.append(one.rewards, 0)},
            lambda made, _: len(made.successors) == len(made.values),
            words=("action", "episode"),
        ),
        "episode_successors": Call(
            bisimulation.episode_successors,
            lambda: {"actions": [np.array([0, 1]), np.array([1])], "num_actions": 2},
            lambda made, given: made.shape[1] == given["num_actions"],
        ),
        "bisimulation_metric": Call(
            bisimulation.bisimulation_metric,
            lambda: {"transitions": random_moves, "values": VALUES, "discount": 0.9, "tolerance": 1e-6},
            lambda made, _: finite(made),
        ),
        "probabilistic_bisimulation": Call(
            bisimulation.probabilistic_bisimulation,
            lambda: {
                "transitions": random_moves,
                "values": VALUES,
                "tolerance": 0.0,
                "probability_tolerance": 1e-9,
            },
            same_partition,
        ),
        # objectives
        "squared_error": Call(
            objectives.squared_error,
            lambda: {
                "predicted": torch.ones(3, 2),
                "target": torch.zeros(3, 2),
                "mask": torch.ones(3, dtype=torch.bool),
            },
            lambda loss, _: loss.item(),
        ),
        "RandomShift": Call(
            lambda **given: objectives.RandomShift(**given)(torch.rand(2, 3, 5, 5), torch.Generator()),
            lambda: {"pad": 2},
            lambda made, _: finite(made, (2, 3, 5, 5)),
        ),
        "RandomIntensity": Call(
            lambda **given: objectives.RandomIntensity(**given)(torch.rand(2, 3, 5, 5), torch.Generator()),
            lambda: {"scale": 0.1},
            lambda made, _: finite(made, (2, 3, 5, 5)),
        ),
        "DynamicsLoss": Call(
            lambda **given: objectives.DynamicsLoss(**given).loss(torch.ones(3, 2, 4), torch.zeros(3, 2, 4), None),
            lambda: {"discount": 0.5},
            scalar,
        ),
        "CosineLoss": Call(
            lambda **given: je.JEPA(SEEN, ACTS, latent_dim=4, dynamics=objectives.CosineLoss(**given)).loss(
                ring().sample(3, horizon=2)
            )[0],
            lambda: {"width": 3, "discount": 0.5},
            scalar,
        ),
        # planning
        "retarget": Call(
            planning.retarget,
            lambda: {"jepa": jepa(), "observations": EYE, "rewards": np.array([0.0, 1.0, 0.0, 0.0])},
            lambda made, _: finite(planning.LatentPlanner(made, 2).predict(EYE)[0]),
        ),
        "GraphSearch": Call(
            lambda **given: planning.LatentPlanner(jepa(), 3, search=planning.GraphSearch(**given)).predict(EYE),
            lambda: {"width": 8, "tolerance": 0.25},
            acts,
        ),
        "MPPI": Call(planning.MPPI, lambda: {"samples": 8, "elites": 4, "iterations": 2, "seed": 0}, anything),
        "LatentPlanner": Call(
            planning.LatentPlanner,
            lambda: {"jepa": jepa(), "horizon": 2, "discount": 0.9, "search": planning.GraphSearch(8)},
            lambda made, _: acts(made.predict(EYE), {}),
            words=("action",),
        ),
        "LatentPlanner.predict": Call(
            planning.LatentPlanner(jepa(), 2).predict,
            lambda: {"observation": EYE, "state": None, "episode_start": None, "deterministic": True},
            acts,
        ),
        "LatentPlanner.save": Call(
            planning.LatentPlanner(jepa(), 2).save, lambda: {"path": f"{folder}/a.pt"}, wrote, (OSError,)
        ),
        "LatentPlanner.load": Call(
            planning.LatentPlanner.load,
            lambda: {"path": f"{folder}/given.pt"},
            lambda made, _: acts(made.predict(EYE), {}),
            (OSError,),
        ),
        "Imagination": Call(
            planning.Imagination,
            lambda: {"planner": planning.LatentPlanner(jepa(), 2), "observations": EYE, "names": ["a", "b", "c", "d"]},
            lambda made, _: made.imagine(EYE[0])[0][1],
        ),
        # machine
        "Machine": Call(machine.Machine, lambda: arrays, steady),
        "Machine.from_mdp": Call(
            machine.Machine.from_mdp,
            lambda: {
                "successors": SUCCESSORS,
                "rewards": VALUES,
                "ends": np.zeros(4, np.bool_),
                "starts": np.array([0]),
                "names": ["a", "b", "c", "d"],
                "action_names": ["left", "right"],
            },
            steady,
            words=("names",),
        ),
        "Machine.action_values": Call(
            chain.action_values, lambda: {"goal": 3, "discount": 0.9}, lambda made, _: finite(made, (4, 2))
        ),
        "Machine.policy": Call(
            automaton().policy,
            lambda: {"goal": 0, "discount": 0.9, "jepa": jepa()},
            lambda made, _: acts(made.predict(EYE), {}),
        ),
        "MachinePolicy": Call(
            machine.MachinePolicy,
            lambda: {
                "prototypes": automaton().known_by(ACTS),
                "action_values": automaton().action_values(0),
                "jepa": jepa(),
            },
            lambda made, _: acts(made.predict(EYE), {}),
        ),
        "machine.compare": Call(machine.compare, lambda: {"machine": chain, "other": automaton()}, anything),
        "falsify": Call(
            machine.falsify,
            lambda: {
                "machine": automaton(),
                "env": gym.make("Places-v0"),
                "steps": 5,
                "seed": 0,
                "jepa": None,
                "see": lambda seen: 0,
                "go_on": True,
            },
            lambda made, given: made.steps <= given["steps"],
            words=("int", "linear"),  # of a ``see`` that cannot see
        ),
        "learned_machine": Call(
            machine.learned_machine,
            lambda: {
                "jepa": jepa(),
                "episodes": episodes(),
                "action_names": ("left", "right"),
                "pictures": 1,
                "most": 9,
                "seed": 0,
            },
            steady,
        ),
        "MachineEnv": Call(machine.MachineEnv, lambda: {"machine": chain}, plays),
        "MachineEnv.step": Call(
            lambda **given: machine.MachineEnv(chain).step(**given),
            lambda: {"action": 1},
            anything,
            (gym.error.Error,),
        ),
        "machine_of_table": Call(
            machine.machine_of_table,
            lambda: {"table": toy, "starts": np.array([0])},
            steady,
            words=("state", "successors"),
        ),
        "to_networkx": Call(machine.to_networkx, lambda: {"machine": chain}, lambda made, _: made.nodes),
        "from_networkx": Call(machine.from_networkx, lambda: {"graph": graph}, steady),
        "to_dot": Call(machine.to_dot, lambda: {"machine": chain}, lambda made, _: made.index("digraph")),
        "save_machine": Call(
            machine.save_machine, lambda: {"machine": chain, "path": f"{folder}/a.json"}, wrote, (OSError,)
        ),
        "load_machine": Call(machine.load_machine, lambda: {"path": f"{folder}/given.json"}, steady, (OSError,)),
        # envs
        "Strings": Call(
            Strings,
            lambda: {"successors": TOMITA[1][0], "accepting": TOMITA[1][1], "longest": 5},
            plays,
            words=("states",),
        ),
        "Strings.step": Call(
            lambda **given: stepped(Strings(*TOMITA[1])).step(**given),
            lambda: {"action": 1},
            anything,
            (gym.error.Error,),
        ),
        "parentheses": Call(parentheses, lambda: {"depth": 2}, lambda made, given: len(made[1]) == given["depth"] + 2),
        "random_language": Call(
            random_language,
            lambda: {"states": 3, "letters": 2, "seed": 0},
            lambda made, given: len(made[0]) == given["states"],
        ),
        "TableImages": Call(TableImages, lambda: {"env": lake(), "image_size": 8, "random_starts": True}, plays),
        # counting_env
        "CountingEnv": Call(counting_env.CountingEnv, lambda: counting, plays),
        "CountingEnv.reset": Call(
            image.reset, lambda: {"seed": 0, "options": {"count": 3, "shape": "circle"}}, anything, (gym.error.Error,)
        ),
        "CountingEnv.step": Call(
            lambda **given: stepped(counting_env.CountingEnv(image_size=32)).step(**given),
            lambda: {"action": 1},
            anything,
            (gym.error.Error,),
        ),
        "CountingVectorEnv": Call(
            counting_env.CountingVectorEnv,
            lambda: {
                "num_envs": 2,
                "max_episode_steps": 4,
                "autoreset_mode": "SameStep",
                "copy": True,
                **counting,
            },
            plays,
        ),
        "CountingVectorEnv.reset": Call(
            lambda **given: envs().reset(**given),
            lambda: {"seed": [0, 1], "options": {"count": 3, "reset_mask": np.array([True, False])}},
            anything,
            (gym.error.Error,),
        ),
        "CountingVectorEnv.step": Call(
            lambda **given: stepped(envs()).step(**given),
            lambda: {"actions": np.array([0, 1])},
            anything,
            (gym.error.Error,),
        ),
        "count_mdp": Call(
            counting_env.count_mdp, lambda: {"max_count": 8, "target": 4}, lambda made, _: finite(made[1])
        ),
    }


def stepped(env):
    env.reset(seed=0)
    return env
