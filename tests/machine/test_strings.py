"""Strings of regular languages, against their definitions; their largest bisimulation is the minimal automaton."""

import itertools
import re
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from torch import nn

from jepa_extractor import JEPA, random_episodes
from jepa_extractor.envs import TOMITA, Strings, parentheses, random_language
from jepa_extractor.machine import Machine, compare, falsify, learned_machine
from tests.planning.worlds import Given, Table

MEMBERS = {
    1: lambda word: "a" not in word,
    2: lambda word: re.fullmatch("(ba)*", word) is not None,
    3: lambda word: re.search("(?<!b)b(bb)*a(aa)*(?!a)", word) is None,
    4: lambda word: "aaa" not in word,
    5: lambda word: word.count("a") % 2 == word.count("b") % 2 == 0,
    6: lambda word: (word.count("a") - word.count("b")) % 3 == 0,
    7: lambda word: re.fullmatch("a*b*a*b*", word) is not None,
}
STATES = {1: 2, 2: 3, 3: 5, 4: 4, 5: 4, 6: 3, 7: 5}


def accepts(language, word):
    state = 0
    for letter in word:
        state = language[0][state][letter]
    return bool(language[1][state])


def automaton(language):
    successors, accepting = language
    return Machine.from_mdp(successors, np.array(accepting, float), starts=[0])


@pytest.mark.parametrize("number", TOMITA)
def test_tomita(number):
    """Every string of up to ten letters is in the language if its definition says so; the automaton is minimal."""
    for length in range(11):
        for word in itertools.product(range(2), repeat=length):
            assert accepts(TOMITA[number], word) == MEMBERS[number]("".join("ab"[letter] for letter in word))
    assert len(automaton(TOMITA[number]).minimised().names) == len(TOMITA[number][0]) == STATES[number]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_parentheses(depth):
    """Against counting: never below zero, never deeper than allowed, zero at the end."""
    for length in range(9):
        for word in itertools.product(range(2), repeat=length):
            levels = np.cumsum([1 - 2 * letter for letter in word])
            expected = not length or (levels.min() >= 0 and levels.max() <= depth and levels[-1] == 0)
            assert accepts(parentheses(depth), word) == expected
    assert len(automaton(parentheses(depth)).minimised().names) == depth + 2


def test_the_environment():
    """Observation, reward and end of each step, and Gymnasium's checker."""
    env = Strings(*TOMITA[4], longest=3)
    check_env(env, skip_render_check=True)
    seen, info = env.reset()
    assert (seen.tolist(), info) == ([0, 0, 0], {"state": 0})
    steps = [env.step(np.int64(0)) for _ in range(3)]
    assert [step[0].tolist() for step in steps] == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert [step[1:4] for step in steps] == [(1.0, False, False), (1.0, False, False), (0.0, False, True)]
    assert [step[4]["state"] for step in steps] == [1, 2, 3]
    assert random_language(5, 3, seed=1) == random_language(5, 3, seed=1)
    for arguments, message in (
        (([[0, 1]], [1]), "successors"),
        (([[0, 0]], [1, 0]), "accepting has shape"),
        (([[0, 0]], [1], 0), "longest=0"),
    ):
        with pytest.raises(ValueError, match=message):
            Strings(*arguments)


class Running(nn.Module):
    """An encoder that runs an automaton over the string: a JEPA that has learned exactly."""

    def __init__(self, space, latent_dim, successors):
        super().__init__()
        self.register_buffer("moves", torch.as_tensor(successors))
        self.size = latent_dim

    def forward(self, strings):
        states = torch.zeros(len(strings), dtype=torch.long)
        for letters in strings.long().unbind(1):
            moved = self.moves[states, (letters - 1).clamp(min=0)]
            states = torch.where(letters > 0, moved, states)
        return torch.eye(self.size)[states]


class Accepting(nn.Module):
    def __init__(self, accepting):
        super().__init__()
        self.register_buffer("accepting", torch.as_tensor(accepting, dtype=torch.float32))

    def forward(self, latents):
        return (latents @ self.accepting).unsqueeze(-1)


@pytest.mark.parametrize("number", TOMITA)
def test_the_machine_of_an_exact_encoder(number):
    """From strings of up to eight letters its machine is the minimal automaton, and right on strings of 200."""
    successors, accepting = TOMITA[number]
    envs = gym.vector.SyncVectorEnv([lambda: Strings(successors, accepting, longest=8)] * 4)
    jepa = JEPA(
        envs.single_observation_space,
        envs.single_action_space,
        latent_dim=len(successors),
        encoder=Running,
        encoder_kwargs={"successors": successors},
        transition=Table,
        transition_kwargs={"successors": successors},
        auxiliary=(Given("reward", Accepting(accepting)),),
    )
    machine = learned_machine(jepa, random_episodes(envs, 1_500, seed=0), ("a", "b")).minimised()
    assert len(machine.names) == STATES[number]
    assert compare(machine, automaton(TOMITA[number])) is None
    verdict = falsify(replace(machine, jepa=None), Strings(successors, accepting, longest=200), steps=400)
    assert verdict.counterexample is None
    assert verdict.arrows == verdict.takeable == 2 * STATES[number]
