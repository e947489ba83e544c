"""The audit of saved models on the command line."""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jepa_extractor.audit.audit_set import AuditSet
    from jepa_extractor.audit.report import Report

DESCRIPTION = """\
What has the encoder of a saved Stable-Baselines3 model collapsed that it must keep apart?

Observations must be kept apart if they belong to different classes of the largest bisimulation of the environment's
class_mdp, successors and values of its states, where it has this attribute; elsewhere, if episodes tell them apart by
the rewards and ends that follow.

Loading a saved model runs whatever code the file holds, as Stable-Baselines3's own load does. So --trust is required:
give it only for files whose origin you know."""
OBSERVATIONS = 5_000  # collected unless a number of episodes is given
NEEDS = {"stable_baselines3": "sb3", "torch": "jepa", "rich": "jepa", "scipy": "jepa", "gymnasium": "jepa"}
PAGE_NEEDS = {"bokeh": "report", "PIL": "report"}


def main() -> None:
    """Audit, print the reports, and write them where asked."""
    parser = _parser()
    arguments = parser.parse_args()
    try:
        _require_installed(NEEDS if arguments.out is None else {**NEEDS, **PAGE_NEEDS})
        import gymnasium as gym
    except ImportError as error:
        parser.exit(2, f"{error}\n")
    try:
        _audit(arguments)
    except (ValueError, OSError, ImportError, gym.error.Error) as error:
        parser.exit(2, f"{error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jepa_extractor.audit",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "models", type=Path, nargs="+", metavar="MODEL", help="saved model of any algorithm, with or without .zip"
    )
    parser.add_argument("--env", required=True, help="id of a Gymnasium environment, or module:id")
    parser.add_argument("--trust", action="store_true", help="run the code that the saved files hold")
    parser.add_argument(
        "--episodes", type=int, help=f"episodes to collect (default: so many that hold {OBSERVATIONS:,} observations)"
    )
    parser.add_argument(
        "--play",
        metavar="WHO",
        help="who acts in the episodes: random (the default), model (the first one), or the file of another model",
    )
    parser.add_argument("--actions", metavar="NAMES", help="names of the actions, as in left,right")
    parser.add_argument("--data", type=Path, metavar="FILE", help="audit set to use: audit_set.npz of another --out")
    parser.add_argument(
        "--classes-from", metavar="KEY", help="key of info whose number is the class, instead of class_mdp or episodes"
    )
    parser.add_argument(
        "--auxiliary",
        choices=("reward", "action_reward"),
        help="what a reward tells apart: observations at which steps arrive (reward, the default), or those that they "
        "leave, by the action (action_reward); only where episodes say what must be kept apart",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        help="rewards no further apart are the same (default: 0, or where they are real numbers, 1%% of their range)",
    )
    parser.add_argument(
        "--vec-normalize",
        type=Path,
        metavar="FILE",
        help="saved VecNormalize that the models were trained under; without it, observations are not normalised",
    )
    parser.add_argument(
        "--no-controls", action="store_true", help="do not audit a constant encoder and an untrained twin beside"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of environment, actions and audit (default: 0)")
    parser.add_argument("--out", type=Path, help="folder for audit.json, audit_set.npz and report.html")
    parser.add_argument("--open", action="store_true", help="open report.html in a browser; needs --out")
    return parser


def _require_installed(needs: dict[str, str]) -> None:
    """Raise ``ImportError`` that says what to install, unless every module of ``needs`` can be imported."""
    missing = sorted({extra for module, extra in needs.items() if find_spec(module) is None})
    if missing:
        raise ImportError(
            f"the audit needs what is not installed: pip install 'counting-jepa[{','.join(missing)}]', or in a clone "
            f"pip install '.[{','.join(missing)}]'"
        )


def _audit(arguments: argparse.Namespace) -> None:
    """Do what the command line says."""
    import rich
    from tqdm import tqdm

    from jepa_extractor.audit.report import audit, compare
    from jepa_extractor.data.spaces import is_image
    from jepa_extractor.sb3.loading import load_policy, load_vec_normalize, model_file, require_trusted_file

    if arguments.open and arguments.out is None:
        raise ValueError("--open opens what --out writes: give --out as well")
    if arguments.out is not None:
        require_writable(arguments.out)
    models = [model_file(path) for path in arguments.models]
    player = None if arguments.play in (None, "random", "model") else model_file(Path(arguments.play))
    for path in filter(None, (*models, player, arguments.vec_normalize)):
        require_trusted_file(path, arguments.trust)
    for entry in entry_points(group="jepa_extractor.environments"):  # packages that register environments
        entry.load()
    policies = [load_policy(path) for path in models]
    vec_normalize = None if arguments.vec_normalize is None else load_vec_normalize(arguments.vec_normalize)
    if vec_normalize is None and not all(is_image(policy.observation_space) for policy in policies):
        print(
            f"{models[0]} does not say whether it was trained under VecNormalize: if it was, give its saved "
            "VecNormalize with --vec-normalize",
            file=sys.stderr,
        )
    played: Any = "random"
    if arguments.play not in (None, "random"):
        acting = policies[0] if player is None else load_policy(player)
        played = acting if vec_normalize is None else _Normalized(acting, vec_normalize)
    audit_set = make_set(arguments, played)
    reports = [
        audit(policy, audit_set, name, arguments.seed, vec_normalize, controls=not arguments.no_controls)
        for name, policy in zip(names(models), tqdm(policies, "models", disable=None), strict=True)
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


class _Normalized:
    """A policy that is given observations as it saw them in training."""

    def __init__(self, policy: Any, vec_normalize: Any) -> None:
        self._policy, self._normalize = policy, vec_normalize.normalize_obs

    def predict(self, observation: Any, **options: Any) -> tuple[Any, Any]:
        acted: tuple[Any, Any] = self._policy.predict(self._normalize(observation), **options)
        return acted


def write(reports: "Sequence[Report]", policies: Sequence[Any], folder: Path) -> list[Path]:
    """Write everything about the reports of policies into ``folder``; return the files, first the one to look at.

    The results come first, so that they are there if the page fails.
    """
    from jepa_extractor.audit.page import write_page
    from jepa_extractor.checkpoint import replace_file

    content = json.dumps([json.loads(report.to_json()) for report in reports], indent=2) + "\n"
    replace_file(folder / "audit.json", lambda path: path.write_text(content))
    reports[0].audit_set.save(folder / "audit_set.npz")
    page = folder / "report.html"
    encoders = {report.name: policy for report, policy in zip(reports, policies, strict=True)}
    write_page(reports, page, encoders, facts=facts(policies))
    return [page, folder / "audit.json", folder / "audit_set.npz"]


def facts(policies: Sequence[Any]) -> dict[str, str]:
    """Return what a page says of how it was made."""
    kinds = dict.fromkeys(type(policy).__name__ for policy in policies)
    return {
        "Policy": ", ".join(kinds),
        "Date": date.today().isoformat(),
        "Command": shlex.join(["python", "-m", "jepa_extractor.audit", *sys.argv[1:]]),
    }


def make_set(arguments: argparse.Namespace, policy: Any) -> "AuditSet":
    """Return the audit set saved as ``--data``, or one of new episodes, and print what it is."""
    from jepa_extractor.audit.audit_set import AuditSet
    from jepa_extractor.audit.collection import look_at
    from jepa_extractor.audit.separation import ByFuture

    world = look_at(arguments.env)
    given = ("classes_from", "auxiliary", "episodes", "tolerance", "play", "actions")
    if arguments.data is not None:
        options = [f"--{name.replace('_', '-')}" for name in given if getattr(arguments, name) is not None]
        if options:
            raise ValueError(f"--data {arguments.data} says what must stay apart: leave out {', '.join(options)}")
        audit_set = AuditSet.load(arguments.data)
        count = None if world.actions is None else len(world.actions)
        audit_set.require_environment(arguments.env, world.observation, count)
        print(f"Observations: {len(audit_set):,} of {arguments.data}")
        return audit_set
    if arguments.episodes is not None and arguments.episodes < 1:
        raise ValueError(f"--episodes {arguments.episodes}: collect at least one")
    key = arguments.classes_from or ("state" if world.mdp is not None else None)
    of_rewards = [name for name in ("auxiliary", "tolerance") if getattr(arguments, name) is not None]
    if key is not None and of_rewards:
        raise ValueError(
            f"--{of_rewards[0]} {getattr(arguments, of_rewards[0])} is of no use, since info[{key!r}] says what must "
            "stay apart: leave it out"
        )
    if key is None:
        who = "random actions" if policy == "random" else "the model's actions"
        print(f"What must stay apart: what episodes of {who} tell apart")
    else:
        mdp = f", in the largest bisimulation of {arguments.env}'s class_mdp" if not arguments.classes_from else ""
        print(f"What must stay apart: the numbers in info[{key!r}]{mdp}")
    try:
        audit_set = AuditSet.collect(
            arguments.env,
            OBSERVATIONS,
            policy,
            arguments.classes_from or "auto",
            actions=None if arguments.actions is None else arguments.actions.split(","),
            tolerance=arguments.tolerance,
            auxiliary=arguments.auxiliary or "reward",
            episodes=arguments.episodes,
            seed=arguments.seed,
        )
    except ValueError as error:
        option = str(error).replace("classes_from='", "--classes-from ").replace("' names", " names", 1)
        raise ValueError(option) from error
    if isinstance(audit_set.required, ByFuture) and audit_set.required.is_chosen:
        print(f"Rewards at most {audit_set.required.tolerance:.3g} apart count as the same: --tolerance sets another")
    return audit_set


def names(paths: Sequence[Path]) -> list[str]:
    """Return a short name for each path: its stem, or all of it where stems are the same."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def require_writable(folder: Path) -> None:
    """Make ``folder``; raise ``OSError`` if no file can be written there."""
    from jepa_extractor.checkpoint import replace_file

    try:
        replace_file(folder / ".writable", lambda path: path.touch())
        (folder / ".writable").unlink()
    except OSError as error:
        raise OSError(f"--out {folder} cannot be written: give another folder ({error})") from error


if __name__ == "__main__":
    main()
