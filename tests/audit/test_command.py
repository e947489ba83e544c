"""The audit of saved models on the command line."""

import importlib.util
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from stable_baselines3 import DQN, PPO, SAC

from jepa_extractor.audit import AuditSet, audit
from jepa_extractor.audit import __main__ as command
from jepa_extractor.audit.__main__ import main
from tests.audit.worlds import make_model, train_under_vec_normalize


def run_main(monkeypatch, *arguments):
    """Run the command with these arguments."""
    monkeypatch.setattr(sys, "argv", ["audit", *map(str, arguments)])
    main()


def fail_main(monkeypatch, capsys, *arguments):
    """Run the command, which must end with status 2, and return its only line of error."""
    with pytest.raises(SystemExit) as exit_status:
        run_main(monkeypatch, *arguments)
    assert exit_status.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("algorithm", [PPO, DQN, SAC])
def test_command_line(algorithm, tmp_path, capsys, monkeypatch):
    """The command audits the model of any algorithm, and says where its classes come from."""
    env_id = "Small-v0" if algorithm is not SAC else "SmallContinuous-v0"
    model = make_model(algorithm)
    model.save(tmp_path / "model")
    few = ["--episodes", 100]
    run_main(monkeypatch, tmp_path / "model.zip", "--env", env_id, "--trust", "--out", tmp_path / "out", *few)
    audit_set = AuditSet.load(tmp_path / "out" / "audit_set.npz")
    assert audit_set.episodes[-1] == 99
    expected = audit(model, audit_set, controls=False).classes
    (written,) = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert written["classes"]["margins"][0][1:] == pytest.approx(expected.margins[0, 1:].tolist())
    assert written["rank_correlation"] == pytest.approx(expected.rank_correlation)
    assert (tmp_path / "out" / "report.html").exists()
    printed = capsys.readouterr()
    assert f"the numbers in info['state'], in the largest bisimulation of {env_id}'s class_mdp" in printed.out
    assert "COLLAPSED" in printed.out
    assert "A constant encoder would have been found." in " ".join(printed.out.split())
    assert printed.err == ""  # images are seldom normalised by VecNormalize


def test_command_line_of_a_key_takes_its_numbers_as_classes(tmp_path, capsys, monkeypatch):
    """With ``--classes-from``, the environment's ``class_mdp`` is not used."""
    make_model(PPO).save(tmp_path / "model")
    common = [tmp_path / "model.zip", "--env", "Small-v0", "--trust", "--out", tmp_path, "--episodes", 100]
    run_main(monkeypatch, *common, "--classes-from", "count")
    assert "What must stay apart: the numbers in info['count']\n" in capsys.readouterr().out
    assert "rank_correlation" not in json.loads((tmp_path / "audit.json").read_text())[0]


def test_command_line_where_the_reward_depends_on_the_action(tmp_path, monkeypatch):
    """``--auxiliary`` decides what a reward belongs to."""
    PPO("MlpPolicy", "CartPole-v1", device="cpu").save(tmp_path / "model")
    common = [tmp_path / "model.zip", "--env", "CartPole-v1", "--trust", "--out", tmp_path, "--episodes", 20]
    for arguments, auxiliary in ([], "reward"), (["--auxiliary", "action_reward"], "action_reward"):
        run_main(monkeypatch, *common, *arguments)
        assert AuditSet.load(tmp_path / "audit_set.npz").required.auxiliary == auxiliary


def test_command_line_under_vec_normalize(tmp_path, capsys, monkeypatch):
    """``--vec-normalize`` takes the saved statistics; without it, a sentence says what the audit cannot know."""
    model, vec_env = train_under_vec_normalize()
    model.save(tmp_path / "model")
    vec_env.save(tmp_path / "stats.pkl")
    common = [tmp_path / "model.zip", "--env", "Places-v0", "--trust", "--out", tmp_path, "--episodes", 100]
    run_main(monkeypatch, *common, "--vec-normalize", tmp_path / "stats.pkl")
    expected = audit(model, AuditSet.load(tmp_path / "audit_set.npz"), "model")
    assert json.loads((tmp_path / "audit.json").read_text()) == [json.loads(expected.to_json())]
    assert capsys.readouterr().err == ""
    run_main(monkeypatch, *common)
    assert "does not say whether it was trained under VecNormalize" in capsys.readouterr().err
    assert json.loads((tmp_path / "audit.json").read_text()) != [json.loads(expected.to_json())]


def test_a_model_that_plays_under_vec_normalize_sees_what_it_saw_in_training(tmp_path, monkeypatch):
    """It acts on normalised observations; the set holds those of the environment."""
    model, vec_env = train_under_vec_normalize()
    model.policy.action_net.weight.data *= 1e9  # so that nothing is left to chance
    model.save(tmp_path / "model")
    vec_env.save(tmp_path / "stats.pkl")
    common = [tmp_path / "model", "--env", "Places-v0", "--trust", "--out", tmp_path, "--episodes", 20, "--no-controls"]
    run_main(monkeypatch, *common, "--vec-normalize", tmp_path / "stats.pkl", "--play", "model")
    data = AuditSet.load(tmp_path / "audit_set.npz")
    acted = data.actions >= 0
    seen = vec_env.normalize_obs(data.observations[acted])
    assert data.actions[acted].tolist() == model.predict(seen, deterministic=True)[0].tolist()
    assert data.actions[acted].tolist() != model.predict(data.observations[acted], deterministic=True)[0].tolist()


def test_a_set_is_used_again(tmp_path, capsys, monkeypatch):
    """``--data`` gives the same audit, beside that of another model; a set of another environment is refused."""
    for seed, name in enumerate(("model", "other")):
        make_model(PPO, seed=seed).save(tmp_path / name)
    common = ["--env", "Small-v0", "--trust", "--no-controls"]
    run_main(monkeypatch, tmp_path / "model", *common, "--episodes", 100, "--out", tmp_path / "first")
    path = tmp_path / "first" / "audit_set.npz"
    assert capsys.readouterr().out.count("│ verdict ") == 1  # a table of each model; one is compared with no other
    run_main(monkeypatch, tmp_path / "model", tmp_path / "other", *common, "--data", path, "--out", tmp_path / "again")
    first, again = (json.loads((tmp_path / name / "audit.json").read_text()) for name in ("first", "again"))
    assert again[0] == first[0]
    assert again[1]["name"] == "other"
    assert again[1]["collapse_index"] != first[0]["collapse_index"]
    printed = capsys.readouterr().out
    assert f"Observations: {len(AuditSet.load(path)):,} of {path}" in printed
    assert re.search("measure .* model .* other", printed)
    assert printed.count("│ verdict ") == 3
    message = fail_main(monkeypatch, capsys, tmp_path / "model", "--env", "CountingEnv-v0", "--trust", "--data", path)
    assert "the audit set was made for Small-v0" in message


@pytest.mark.slow
def test_command_line_in_a_process_of_its_own(tmp_path):
    """The command works without importing the environment by hand."""
    PPO("CnnPolicy", gym.make("CountingEnv-v0"), device="cpu").save(tmp_path / "model")
    command = [sys.executable, "-W", "error", "-m", "jepa_extractor.audit", str(tmp_path / "model.zip"), "--trust"]
    done = subprocess.run([*command, "--env", "CountingEnv-v0"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "COLLAPSED" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["nowhere.zip", "--env", "Small-v0"], "there is no file nowhere.zip"),
        (["model.zip", "--env", "Small-v0", "--vec-normalize", "nowhere.pkl"], "there is no file nowhere.pkl"),
        (["model.zip", "--env", "Small-v0", "--vec-normalize", "model.zip"], "model.zip is not a saved VecNormalize"),
        (
            ["model.zip", "--env", "Small-v0", "--vec-normalize", "dict.pkl"],
            "dict.pkl holds a dict, not a VecNormalize",
        ),
        (["model.zip", "--env", "NoSuchEnv-v0"], "name the module as well: module:NoSuchEnv-v0"),
        (["model", "--env", "NoSuchEnv-v0"], "name the module as well: module:NoSuchEnv-v0"),
        (["model.zip", "--env", "Small-v0", "--play", "nowhere"], "there is no file nowhere"),
        (["model.zip", "--env", "Small-v0", "--actions", "a,b,c"], "has 3 names, and there are 2 actions"),
        (["model.zip", "--env", "Small-v0", "--tolerance", "1"], "--tolerance 1.0 is of no use, since info['state']"),
        (["model.zip", "--env", "CartPole-v1"], "the encoder takes observations of shape (3, 36, 36)"),
        (["model.zip", "--env", "Pendulum-v1"], "Pendulum-v1 has actions that are not one number of a few"),
        (
            ["model.zip", "--env", "Small-v0", "--classes-from", "number"],
            "number names no class; info holds the numbers",
        ),
        (["model.zip", "--env", "Small-v0", "--classes-from", "shape"], "name a key whose value is a number"),
        (
            ["model.zip", "--env", "Small-v0", "--auxiliary", "action_reward"],
            "--auxiliary action_reward is of no use, since info['state'] says what must stay apart: leave it out",
        ),
        (["model.zip", "--env", "Small-v0", "--episodes", "0"], "--episodes 0: collect at least one"),
        (
            ["model.zip", "--env", "MountainCar-v0", "--episodes", "1"],
            "all 200 steps had the same reward, -1, and none ended an episode, so nothing tells observations apart",
        ),
        (
            ["model.zip", "--env", "Small-v0", "--data", "set.npz", "--episodes", "9"],
            "--data set.npz says what must stay apart: leave out --episodes",
        ),
        (["model.zip", "--env", "Small-v0", "--data", "nowhere.npz"], "there is no audit set at nowhere.npz"),
        (["model.zip", "--env", "Small-v0", "--data", "model.zip"], "model.zip is no audit set"),
        (["model.zip", "--env", "Small-v0", "--open"], "--open opens what --out writes: give --out as well"),
        (["model.zip", "--env", "Small-v0", "--out", "dict.pkl"], "--out dict.pkl cannot be written"),
        (["model.zip", "--env", "no_such_module:Env-v0"], "no_such_module"),
    ],
)
def test_what_cannot_be_audited_is_one_sentence(change, message, tmp_path, capsys, monkeypatch):
    """Errors name the argument, its value and the mend, and the exit status is 2."""
    monkeypatch.chdir(tmp_path)
    make_model(PPO).save("model")
    Path("dict.pkl").write_bytes(pickle.dumps({}))
    assert message in fail_main(monkeypatch, capsys, *change, "--trust")


def test_who_plays_and_what_actions_are_called(tmp_path, capsys, monkeypatch):
    """``--play model`` lets the first model act, ``--play FILE`` another; a model's name needs no .zip."""
    make_model(PPO).save(tmp_path / "model")
    common = [tmp_path / "model", "--env", "Small-v0", "--trust", "--episodes", 30, "--out", tmp_path, "--no-controls"]
    played = []
    for who in ("model", tmp_path / "model.zip", "random"):
        run_main(monkeypatch, *common, "--play", who, "--actions", "less,more")
        data = AuditSet.load(tmp_path / "audit_set.npz")
        assert data.action_names == ("less", "more")
        played.append(data.actions[data.actions >= 0].mean())
    assert json.loads((tmp_path / "audit.json").read_text())[0]["controls"] == []
    page = (tmp_path / "report.html").read_text()
    assert "--play random --actions less,more" in page
    assert "ActorCriticCnnPolicy" in page
    capsys.readouterr()


def test_results_are_written_before_the_page(tmp_path, monkeypatch):
    """A page that fails loses nothing else."""
    make_model(PPO).save(tmp_path / "model")

    def fail(*arguments, **options):
        raise RuntimeError("no page")

    monkeypatch.setattr("jepa_extractor.audit.page.write_page", fail)
    with pytest.raises(RuntimeError, match="no page"):
        run_main(monkeypatch, tmp_path / "model", "--env", "Small-v0", "--trust", "--episodes", 30, "--out", tmp_path)
    assert (tmp_path / "audit.json").exists()
    assert (tmp_path / "audit_set.npz").exists()


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"), [("bokeh", ["--out", "out"], "report"), ("scipy", [], "jepa")]
)
def test_what_is_not_installed_is_named_before_any_work(missing, arguments, extra, tmp_path, capsys, monkeypatch):
    """With the line for pip; the model is not even looked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == missing else importlib.util.find_spec(name))
    message = fail_main(monkeypatch, capsys, "nowhere.zip", "--env", "Small-v0", *arguments)
    assert f"pip install 'counting-jepa[{extra}]'" in message
    assert not (tmp_path / "out").exists()


def test_help_needs_no_extras():
    """It is printed by a Python that has NumPy and Gymnasium alone."""
    code = """
import sys
for name in ("torch", "stable_baselines3", "rich", "scipy", "sklearn", "bokeh", "tqdm", "PIL", "gymnasium"):
    sys.modules[name] = None
sys.argv = ["audit", "--help"]
from jepa_extractor.audit import __main__ as command
from jepa_extractor.audit.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--play WHO" in done.stdout
