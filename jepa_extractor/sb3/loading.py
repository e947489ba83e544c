"""Saved models of Stable-Baselines3 without their algorithm: the policy, and the statistics of ``VecNormalize``."""

import pickle
from pathlib import Path
from typing import Any, cast

from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecNormalize


def model_file(path: Path) -> Path:
    """Return ``path``, or the file that ``save(path)`` writes, which ends in .zip."""
    zipped = path.with_name(f"{path.name}.zip")
    return zipped if not path.is_file() and zipped.is_file() else path


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
