"""The audit of a saved model on the command line."""

import argparse
import pickle
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import rich
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecNormalize

from jepa_extractor.audit.encoder import audit_encoder
from jepa_extractor.checkpoint import replace_file

DESCRIPTION = """\
Which classes of observations does the encoder of a saved Stable-Baselines3 model keep apart?

Loading a saved model runs whatever code the file holds, as Stable-Baselines3's own load does. So --trust is required:
give it only for files whose origin you know."""


def main() -> None:
    """Audit, print the report, and write it where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m jepa_extractor.audit",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="zip file of any algorithm")
    parser.add_argument("--env", required=True, help="id of a Gymnasium environment")
    parser.add_argument("--trust", action="store_true", help="run the code that the saved files hold")
    parser.add_argument(
        "--vec-normalize",
        type=Path,
        metavar="FILE",
        help="saved VecNormalize that the model was trained under; without it, observations are not normalised",
    )
    parser.add_argument(
        "--classes-from",
        metavar="KEY",
        help="key of info whose number is the class (default: state, where the environment has the attribute "
        "class_mdp, successors and values of its states, and the classes are those of its largest bisimulation; "
        "elsewhere count)",
    )
    parser.add_argument("--observations", type=int, default=2_000, help="observations to collect (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of environments and actions (default: 0)")
    parser.add_argument("--out", type=Path, help="folder for audit.json and audit.png")
    arguments = parser.parse_args()
    try:
        for path in filter(None, (arguments.model, arguments.vec_normalize)):
            require_trusted_file(path, arguments.trust)
        for entry in entry_points(group="jepa_extractor.environments"):  # packages that register environments
            entry.load()
        policy = load_policy(arguments.model)
        vec_normalize = None if arguments.vec_normalize is None else load_vec_normalize(arguments.vec_normalize)
        if vec_normalize is None and not is_image_space(policy.observation_space):
            print(
                f"{arguments.model} does not say whether it was trained under VecNormalize: if it was, give its saved "
                "VecNormalize with --vec-normalize",
                file=sys.stderr,
            )
        mdp = class_mdp(arguments.env) if arguments.classes_from is None else None
        key = arguments.classes_from or ("state" if mdp is not None else "count")
        report = audit_encoder(
            policy, arguments.env, key, mdp, arguments.observations, arguments.seed, vec_normalize=vec_normalize
        )
        of_mdp = "" if mdp is None else f", in the largest bisimulation of {arguments.env}'s class_mdp"
        print(f"Classes: the numbers in info[{key!r}]{of_mdp}")
        rich.print(report.table())
        if arguments.out is not None:
            from jepa_extractor.audit.picture import plot_audit  # needs matplotlib, of the extra "examples"

            replace_file(arguments.out / "audit.json", lambda path: path.write_text(report.to_json()))
            replace_file(arguments.out / "audit.png", lambda path: plot_audit(report, path))
            print(f"In {arguments.out}: audit.json, audit.png")
    except (ValueError, OSError, ImportError, gym.error.Error) as error:
        parser.exit(2, f"{error}\n")


def class_mdp(env_id: str) -> Any:
    """Return the attribute ``class_mdp`` of an environment, its successors and values, or ``None``."""
    env = gym.make(env_id)
    try:
        return getattr(env.unwrapped, "class_mdp", None)
    finally:
        env.close()


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
