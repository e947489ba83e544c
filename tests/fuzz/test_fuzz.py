"""Every public entry, called with wrong values: it does what a check confirms, or says in a sentence what is wrong."""

import warnings
import zlib

import numpy as np
import pytest

import counting_env
import jepa_extractor
from jepa_extractor import Batch, audit, bisimulation, envs, machine, objectives, planning
from jepa_extractor.data import Step
from tests.fuzz.bad_values import bad
from tests.fuzz.calls import table

CASES = 2_000
RESULTS = {  # that entries return, and that check nothing; Batch, Episode and Latents are what others are given
    *("Batch", "Episode", "Latents", "ClassPairs", "Control", "Pair", "Report", "Verdict", "EmpiricalData"),
    *("Difference", "Counterexample", "NoClusters", "AuxiliaryTask", "SHAPES", "TOMITA"),
}


def outcome(call, name, rng):
    """Call with one or two wrong arguments; return what is wrong with what happened, or ``None``."""
    valid = call.arguments()
    chosen = rng.choice(list(valid), min(len(valid), 1 + int(rng.random() < 0.2)), replace=False)
    wrong = {argument: bad(valid[argument], rng) for argument in chosen}
    said = f"{name}({', '.join(f'{argument}={_short(value, 150)}' for argument, value in wrong.items())})"
    try:
        call.check(call.function(**{**valid, **wrong}), {**valid, **wrong})
    except (ValueError, TypeError, *call.errors) as error:
        text = str(error)
        words = [*call.words, *(word for argument in chosen for word in _names(argument, valid[argument]))]
        words += [str(value)[:100] for value in wrong.values() if isinstance(value, str) and value]
        named = isinstance(error, OSError) or any(word.lower() in text.lower() for word in words)
        if not named or (len(text) > 1_000 and not isinstance(error, OSError)):
            return f"{said}: {type(error).__name__}: {text[:500]}"
    except Exception as error:
        return f"{said}: {type(error).__name__}: {str(error)[:500]}"
    return None


def _names(argument, value):
    """Return what a message may call an argument: its name, or that of a part of it."""
    named = value if isinstance(value, dict) else vars(value) if isinstance(value, Batch | Step) else ()
    return argument, argument.removesuffix("s"), *map(str, named)


def _short(value, most):
    return " ".join(repr(value).split())[:most]


def test_every_entry_is_called(tmp_path):
    """No public name is left out of the table of calls."""
    rooms = (jepa_extractor, audit, bisimulation, envs, machine, objectives, planning, counting_env)
    public = {name for room in rooms for name in room.__all__} - RESULTS
    called = {part for name in table(tmp_path) for part in name.split(".")}
    assert public <= called


@pytest.mark.slow
def test_every_entry_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)
    calls, wrong = table(tmp_path), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # those of this package; others stay errors
        for name, call in calls.items():
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            call.check(call.function(**call.arguments()), call.arguments())
            found = [outcome(call, name, rng) for _ in range(-(-CASES // len(calls)))]
            wrong += [one for one in found if one is not None]
    assert not wrong, "\n".join(wrong)
