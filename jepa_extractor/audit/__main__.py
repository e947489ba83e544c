"""The audit of saved models on the command line."""

import argparse
import enum
import json
import pickle
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import gymnasium as gym
import numpy as np
import rich
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecNormalize
from tqdm import tqdm

from jepa_extractor.audit.audit_set import AUXILIARIES, AuditSet
from jepa_extractor.audit.report import Report, audit, compare
from jepa_extractor.checkpoint import replace_file
from jepa_extractor.data.collection import random_episodes
from jepa_extractor.data.episodes import Episode
from jepa_extractor.data.observations import Arrays, map_arrays
from jepa_extractor.data.spaces import channels_first

DESCRIPTION = """\
What has the encoder of a saved Stable-Baselines3 model collapsed that it must keep apart?

Observations must be kept apart if they belong to different classes of the largest bisimulation of the environment's
class_mdp, successors and values of its states, where it has this attribute; elsewhere, if episodes of random actions
tell them apart by the rewards and ends that follow.

Loading a saved model runs whatever code the file holds, as Stable-Baselines3's own load does. So --trust is required:
give it only for files whose origin you know."""
OBSERVATIONS = 5_000  # collected unless a number of episodes is given


def main() -> None:
    """Audit, print the reports, and write them where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m jepa_extractor.audit",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="zip file of any algorithm")
    parser.add_argument("--env", required=True, help="id of a Gymnasium environment, or module:id")
    parser.add_argument("--trust", action="store_true", help="run the code that the saved files hold")
    parser.add_argument(
        "--episodes", type=int, help=f"episodes to collect (default: so many that hold {OBSERVATIONS:,} observations)"
    )
    parser.add_argument("--data", type=Path, metavar="FILE", help="audit set to use: audit_set.npz of another --out")
    parser.add_argument(
        "--classes-from", metavar="KEY", help="key of info whose number is the class, instead of class_mdp or episodes"
    )
    parser.add_argument(
        "--auxiliary",
        choices=AUXILIARIES,
        help="what a reward tells apart: observations at which steps arrive (reward, the default), or those that they "
        "leave, by the action (action_reward); only where episodes say what must be kept apart",
    )
    parser.add_argument(
        "--vec-normalize",
        type=Path,
        metavar="FILE",
        help="saved VecNormalize that the models were trained under; without it, observations are not normalised",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of environment, actions and audit (default: 0)")
    parser.add_argument("--out", type=Path, help="folder for report.html, audit.json, pictures and audit_set.npz")
    parser.add_argument("--open", action="store_true", help="open report.html in a browser; needs --out")
    arguments = parser.parse_args()
    try:
        if arguments.open and arguments.out is None:
            raise ValueError("--open opens what --out writes: give --out as well")
        if arguments.out is not None:
            require_writable(arguments.out)
        for path in filter(None, (*arguments.models, arguments.vec_normalize)):
            require_trusted_file(path, arguments.trust)
        for entry in entry_points(group="jepa_extractor.environments"):  # packages that register environments
            entry.load()
        policies = [load_policy(path) for path in arguments.models]
        vec_normalize = None if arguments.vec_normalize is None else load_vec_normalize(arguments.vec_normalize)
        if vec_normalize is None and not all(is_image_space(policy.observation_space) for policy in policies):
            print(
                f"{arguments.models[0]} does not say whether it was trained under VecNormalize: if it was, give its "
                "saved VecNormalize with --vec-normalize",
                file=sys.stderr,
            )
        audit_set = make_set(
            arguments.env,
            arguments.data,
            arguments.classes_from,
            arguments.auxiliary,
            arguments.episodes,
            arguments.seed,
        )
        reports = [
            audit(policy, audit_set, name, arguments.seed, vec_normalize)
            for name, policy in zip(names(arguments.models), tqdm(policies, "models", disable=None), strict=True)
        ]
        for report in reports:
            rich.print(report.table())
        if len(reports) > 1:
            rich.print(compare(reports))
        if arguments.out is not None:
            written = write(reports, policies, arguments.out)
            print(f"In {arguments.out}: {', '.join(path.name for path in written)}")
            if arguments.open:
                import webbrowser

                webbrowser.open(written[0].resolve().as_uri())
    except (ValueError, OSError, ImportError, gym.error.Error) as error:
        parser.exit(2, f"{error}\n")


def write(reports: Sequence[Report], policies: Sequence[BasePolicy], folder: Path) -> list[Path]:
    """Write everything about the reports of policies into ``folder``; return the files, first the one to look at."""
    from jepa_extractor.audit.page import write_page  # needs Bokeh, of the extra "report"
    from jepa_extractor.audit.picture import plot_report  # needs matplotlib, of the extra "examples"

    pictures = [folder / ("audit.png" if i == 0 else f"audit_{i + 1}.png") for i in range(len(reports))]
    for path, report in zip(pictures, reports, strict=True):
        replace_file(path, partial(plot_report, report))
    content = json.dumps([json.loads(report.to_json()) for report in reports], indent=2) + "\n"
    replace_file(folder / "audit.json", lambda path: path.write_text(content))
    reports[0].audit_set.save(folder / "audit_set.npz")
    page = folder / "report.html"
    write_page(reports, page, {report.name: policy for report, policy in zip(reports, policies, strict=True)})
    return [page, *pictures, folder / "audit.json", folder / "audit_set.npz"]


class World(NamedTuple):
    """What the audit needs to know of an environment: one observation, its actions, and its ``class_mdp``."""

    observation: Arrays
    actions: Sequence[str] | None  # None if they are not a Discrete space
    mdp: Any


def look_at(env_id: str) -> World:
    """Return what there is to know of an environment."""
    env = gym.make(env_id)
    try:
        observation, _ = env.reset(seed=0)
        seen = channels_first(map_arrays(np.asarray, observation), env.observation_space)
        return World(seen, action_names(env), class_mdp(env))
    finally:
        env.close()


def action_names(env: gym.Env[Any, Any]) -> Sequence[str] | None:
    """Return a name for each action, by ``get_action_meanings`` (Atari) or the enumeration ``actions`` (Minigrid)."""
    if not isinstance(env.action_space, spaces.Discrete):
        return None
    count = int(env.action_space.n)
    world: Any = env.unwrapped
    known: list[str] = []
    if callable(getattr(world, "get_action_meanings", None)):
        known = [str(name).lower() for name in world.get_action_meanings()]
    elif isinstance(getattr(world, "actions", None), enum.EnumMeta):
        known = [str(action.name) for action in world.actions]
    return known if len(known) == count else [f"action {number}" for number in range(count)]


def class_mdp(env: gym.Env[Any, Any]) -> Any:
    """Return the attribute ``class_mdp`` of an environment, or ``None`` if it has none or its outcomes are random."""
    try:
        return env.get_wrapper_attr("class_mdp")
    except (AttributeError, ValueError):
        return None


def make_set(
    env_id: str, data: Path | None, classes_from: str | None, auxiliary: str | None, episodes: int | None, seed: int
) -> AuditSet:
    """Return the audit set saved as ``data``, or one of new episodes, and print what it is."""
    world = look_at(env_id)
    if data is not None:
        if any(option is not None for option in (classes_from, auxiliary, episodes)):
            raise ValueError(
                f"--data {data} says what must stay apart: leave out --classes-from, --auxiliary and --episodes"
            )
        audit_set = AuditSet.load(data)
        audit_set.require_environment(env_id, world.observation, None if world.actions is None else len(world.actions))
        print(f"Observations: {len(audit_set):,} of {data}")
        return audit_set
    key = classes_from or ("state" if world.mdp is not None else None)
    if key is None:
        print("What must stay apart: what episodes of random actions tell apart")
        if world.actions is None:
            raise ValueError(
                f"{env_id} has actions that are not one number of a few, and so are never the same again: name the "
                "key of info that is the class, with --classes-from"
            )
        return AuditSet.from_episodes(
            collect(env_id, episodes, seed, ()), world.actions, env=env_id, auxiliary=auxiliary or "reward"
        )
    if auxiliary is not None:
        raise ValueError(
            f"--auxiliary {auxiliary} is of no use, since info[{key!r}] says what must stay apart: leave it out"
        )
    mdp = world.mdp if classes_from is None else None
    of_mdp = "" if mdp is None else f", in the largest bisimulation of {env_id}'s class_mdp"
    print(f"What must stay apart: the numbers in info[{key!r}]{of_mdp}")
    try:
        kept = list(collect(env_id, episodes, seed, (key,)))
    except ValueError as error:
        raise ValueError(f"--classes-from {key} names no class: {error}") from error
    return AuditSet.from_classes(kept, key, mdp, world.actions, env_id)


def collect(env_id: str, episodes: int | None, seed: int, labels: Sequence[str]) -> Iterator[Episode]:
    """Yield episodes of random actions: so many, or as many as hold ``OBSERVATIONS``."""
    if episodes is not None and episodes < 1:
        raise ValueError(f"--episodes {episodes}: collect at least one")
    envs = gym.make_vec(env_id, num_envs=1, vectorization_mode="sync")  # of several, short episodes would be first
    try:
        if episodes is None:
            with tqdm(total=OBSERVATIONS, desc="observations", disable=None) as bar:
                for episode in random_episodes(envs, OBSERVATIONS, seed, labels):
                    bar.update(len(episode.rewards))
                    yield episode
        else:
            endless = random_episodes(envs, sys.maxsize, seed, labels)
            yield from tqdm(islice(endless, episodes), "episodes", episodes, disable=None)
    finally:
        envs.close()


def names(paths: Sequence[Path]) -> list[str]:
    """Return a short name for each path: its stem, or all of it where stems are the same."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def require_writable(folder: Path) -> None:
    """Make ``folder``; raise ``OSError`` if no file can be written there."""
    try:
        replace_file(folder / ".writable", lambda path: path.touch())
        (folder / ".writable").unlink()
    except OSError as error:
        raise OSError(f"--out {folder} cannot be written: give another folder ({error})") from error


def require_trusted_file(path: Path, trust: bool) -> None:
    """Raise an error unless ``path`` is a file and may be unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not trusted.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if not trust:
        raise ValueError(
            f"{path} was not loaded: loading runs whatever code the file holds, as Stable-Baselines3's load does; if "
            "you know where it comes from, add --trust"
        )


def load_policy(path: Path) -> BasePolicy:
    """Return the policy of the model saved at ``path``, whatever its algorithm. This runs the code that it holds.

    Raises:
        ValueError: the file is not a saved model.
    """
    try:
        data, parameters, _ = load_from_zip_file(path, device="cpu")
        assert data is not None
        policy_class, kwargs = data["policy_class"], dict(data["policy_kwargs"])
        if issubclass(policy_class, ActorCriticPolicy):
            kwargs["use_sde"] = data["use_sde"]
        policy: BasePolicy = policy_class(data["observation_space"], data["action_space"], lambda _: 0.0, **kwargs)
        policy.load_state_dict(cast(dict[str, Any], parameters["policy"]))
    except Exception as error:  # unpickling an unknown file can raise anything
        raise ValueError(f"{path} is not a model that Stable-Baselines3 saved ({error!r})") from error
    return policy


def load_vec_normalize(path: Path) -> VecNormalize:
    """Return the ``VecNormalize`` saved at ``path``, without environments. This runs the code that it holds.

    Raises:
        ValueError: the file is not a saved ``VecNormalize``.
    """
    try:
        loaded = pickle.loads(path.read_bytes())
    except Exception as error:  # unpickling an unknown file can raise anything
        raise ValueError(f"{path} is not a saved VecNormalize ({error!r})") from error
    if not isinstance(loaded, VecNormalize):
        raise ValueError(f"{path} holds a {type(loaded).__name__}, not a VecNormalize: give what its save() wrote")
    return loaded


if __name__ == "__main__":
    main()
