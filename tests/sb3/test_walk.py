"""How far one reads from ``env.step`` to ``.grad``: the files of the plug-in that a transition passes under PPO."""

import collections
import sys
from pathlib import Path

import jepa_extractor
from jepa_extractor import JEPACallback, Joint
from jepa_extractor.sb3 import schedules
from tests.sb3.algorithms import make_model

ROOT = Path(jepa_extractor.__file__).parent
# What is called in passing, and need not be read to follow a transition: checks of arguments, access to the internals
# of others, plain containers, and what is logged.
HELPERS = {
    *("checks.py", "data/batch.py", "data/observations.py", "data/spaces.py", "networks/modules.py"),
    *("objectives/losses.py", "sb3/adapter.py", "sb3/monitor.py"),
}
# Questions that nothing of a transition goes into, and slow copies, which follow parameters.
ASIDES = {"__bool__", "not_finite", "update", "update_target"}


def visits(act):
    """Return the files of the plug-in that ``act`` enters, each from another of them, in their order."""
    entered = []

    def file_of(code):
        file = Path(code.co_filename)
        return file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else None

    def watch(frame, event, _):
        file = file_of(frame.f_code) if event == "call" else None
        if file is None:
            return
        caller = frame.f_back
        while caller is not None and file_of(caller.f_code) in {None, *HELPERS}:
            caller = caller.f_back
        name = frame.f_code.co_name
        is_new = caller is None or file_of(caller.f_code) != file
        if is_new and name not in ASIDES and not name.startswith("<"):  # a lambda is read where it stands
            entered.append(file)

    sys.setprofile(watch)
    try:
        act()
    finally:
        sys.setprofile(None)
    return entered


def test_the_walk_is_short(monkeypatch):
    """At most 12 files, none entered three times: one step that is recorded, and one auxiliary update."""
    entered = []

    class Watched(JEPACallback):
        def _on_step(self):
            if self.num_timesteps == 6:
                entered.extend(visits(super()._on_step))
                return True
            return super()._on_step()

    act, updates = Joint.before_optimizer_step, []

    def before_optimizer_step(schedule):
        updates.append(1)
        if len(updates) == 2:
            entered.append("sb3/schedules.py")  # entered by the optimizer's hook
            entered.extend(visits(lambda: act(schedule)))
        else:
            act(schedule)

    monkeypatch.setattr(schedules.Joint, "before_optimizer_step", before_optimizer_step)
    make_model("PPO").learn(32, callback=Watched(batch_size=8))
    times = collections.Counter(file for file in entered if file not in HELPERS)
    assert "train/step.py" in times
    assert "data/ring.py" in times
    assert len(times) <= 12, sorted(times)
    assert max(times.values()) <= 2, times
    assert len(set(entered)) <= 21, "helpers too"
