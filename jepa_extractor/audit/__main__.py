"""The audit of a saved model on the command line."""

import argparse
from importlib.metadata import entry_points
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import gymnasium as gym
import rich
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file

from jepa_extractor.audit.encoder import audit_encoder
from jepa_extractor.checkpoint import replace_file


def main() -> None:
    """Audit, print the report, and write it where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m jepa_extractor.audit",
        description="Which classes of observations does the encoder of a saved Stable-Baselines3 model keep apart?",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="zip file of any algorithm")
    parser.add_argument("--env", required=True, help="id of a Gymnasium environment")
    parser.add_argument("--classes-from", default="count", help="key of info that names the class")
    parser.add_argument("--observations", type=int, default=2_000, help="observations to collect")
    parser.add_argument("--seed", type=int, default=0, help="seed of environments and actions")
    parser.add_argument("--out", type=Path, default=None, help="folder for audit.json and audit.png")
    arguments = parser.parse_args()
    try:
        for entry in entry_points(group="jepa_extractor.environments"):  # packages that register environments
            entry.load()
        # the environment's own MDP is over what the key means that it names by default
        own = arguments.classes_from == parser.get_default("classes_from")
        mdp = getattr(gym.make(arguments.env).unwrapped, "class_mdp", None) if own else None
        report = audit_encoder(
            load_policy(arguments.model),
            arguments.env,
            arguments.classes_from,
            mdp,
            arguments.observations,
            arguments.seed,
        )
        rich.print(report.table())
        if arguments.out is not None:
            from jepa_extractor.audit.picture import plot_audit  # needs matplotlib, of the extra "examples"

            replace_file(arguments.out / "audit.json", lambda path: path.write_text(report.to_json()))
            replace_file(arguments.out / "audit.png", lambda path: plot_audit(report, path))
            print(f"In {arguments.out}: audit.json, audit.png")
    except (ValueError, OSError, ImportError, gym.error.Error) as error:
        parser.exit(2, f"{error}\n")


def load_policy(path: Path) -> BasePolicy:
    """Return the policy of the model saved at ``path``, whatever its algorithm.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no saved model.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no model at {path}")
    try:
        data, parameters, _ = load_from_zip_file(path, device="cpu")
        assert data is not None
        policy_class, kwargs = data["policy_class"], dict(data["policy_kwargs"])
        weights = parameters["policy"]
    except (AssertionError, KeyError, ValueError, UnpicklingError) as error:
        raise ValueError(f"{path} is no model that Stable-Baselines3 saved ({error!r})") from error
    if issubclass(policy_class, ActorCriticPolicy):
        kwargs["use_sde"] = data["use_sde"]
    policy: BasePolicy = policy_class(data["observation_space"], data["action_space"], lambda _: 0.0, **kwargs)
    policy.load_state_dict(cast(dict[str, Any], weights))
    return policy


if __name__ == "__main__":
    main()
