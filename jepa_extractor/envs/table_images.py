"""Toy-text environments as images, with the exact MDP behind them."""

import hashlib
import pickle
from typing import Any
from weakref import WeakValueDictionary

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from jepa_extractor.checks import require_bool, require_integer, require_type
from jepa_extractor.data.episodes import Episode
from jepa_extractor.data.spaces import channels_first

Image = NDArray[np.uint8]


class TableImages(gym.Wrapper[Any, int, Any, int], RecordConstructorArgs):
    """Shows an environment with a transition table as images, and tells its exact MDP.

    For Gymnasium's FrozenLake, CliffWalking and Taxi, and any other whose unwrapped environment holds its table ``P``,
    its state ``s``, and the distribution of its starts, ``initial_state_distrib``:

        gym.make_vec("FrozenLake-v1", 8, "sync", wrappers=(TableImages,), render_mode="rgb_array", is_slippery=False)

    The n states are those that play can reach, in the order of the table, and ``info["state"]`` is the number of the
    one observed, in 0..n-1. Each state has one image, rendered once, also for several equal environments: 0.1 s for the
    16 states of FrozenLake, 3 s for the 404 of Taxi, whose taxi always faces down. Gymnasium renders them with pygame,
    of the extra ``play``.

    Args:
        env: the environment, with ``render_mode="rgb_array"``. Reset it afterwards: its state is not kept.
        image_size: height and width of the images in pixels, at least 1; what was rendered is averaged over areas.
        random_starts: whether an episode starts in a state drawn uniformly among all but the ends. Otherwise it starts
            as the environment does. ``reset(options={"state": number})`` starts in that state.

    Attributes:
        states: number of each state in the table ``P``, ascending, int64 (n,).
        ends: whether arriving in the state ends the episode, bool (n,).

    Raises:
        ValueError: the environment has no such table or no such ``render_mode``, or the table does not say what
            happens; or an argument is out of range.
    """

    def __init__(self, env: gym.Env[Any, int], image_size: int = 64, random_starts: bool = False) -> None:
        require_type("env", env, gym.Env, "give an environment, as gym.make makes it")
        require_bool("random_starts", random_starts)
        RecordConstructorArgs.__init__(self, image_size=image_size, random_starts=random_starts)
        super().__init__(env)
        require_integer("image_size", image_size, least=1)
        world: Any = env.unwrapped
        if not all(hasattr(world, name) for name in ("P", "initial_state_distrib")):
            raise ValueError(
                f"env={env} has no transition table P: give one that has, such as FrozenLake-v1, CliffWalking-v1 or "
                "Taxi-v4"
            )
        if env.render_mode != "rgb_array":
            raise ValueError(f"env has render_mode={env.render_mode!r}: make it with render_mode='rgb_array'")
        if getattr(world, "fickle_passenger", False):
            raise ValueError("env has fickle_passenger=True, of which its table says nothing: make it with False")
        self.states, self.ends = _reachable(world.P, np.flatnonzero(world.initial_state_distrib).tolist())
        self._number = {state: i for i, state in enumerate(self.states.tolist())}
        self._transitions, self._values = _mdp(world.P, self._number, self.ends)
        self._images = _images(world, self.states, image_size)
        self.observation_space = spaces.Box(0, 255, self._images.shape[1:], np.uint8)
        self._random_starts = random_starts

    @property
    def images(self) -> Image:
        """The image of each state, uint8 (n, image_size, image_size, 3)."""
        return self._images.copy()  # several environments share them

    @property
    def class_mdp(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The MDP over ``info["state"]``, as ``largest_bisimulation(*env.class_mdp)`` takes it: successors and values.

        Successors are int64 (n, k) for k actions; an end leads to itself. Values are float64. Where the reward is a
        function of the state arrived in, they are that, (n,): the task is ``"reward"``. Elsewhere they are the reward
        of each action, (n, k), 0 in an end: the task is ``"action_reward"``.

        Raises:
            ValueError: the table is stochastic: take ``class_transitions``.
        """
        random = (self._transitions.max(axis=2) < 1 - 1e-9).any(axis=0)
        if random.any():
            raise ValueError(
                f"env has a stochastic table (state {random.argmax()}), and class_mdp is for deterministic ones: make "
                "it with is_slippery=False or the like, or take class_transitions, for "
                "probabilistic_bisimulation(*env.class_transitions)"
            )
        return self._transitions.argmax(axis=2).T, self._values

    @property
    def class_transitions(self) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
        """The same MDP where actions have random outcomes, as ``probabilistic_bisimulation`` takes it.

        A float64 matrix (n, n) for each action, and values as in ``class_mdp``; the reward of an action is the expected
        one.
        """
        return list(self._transitions), self._values

    def all_transitions(self) -> list[Episode]:
        """Return each action in each state once, as n k episodes of one step; an end is left to itself.

        It is the data of which the theorem speaks: all that ``class_mdp`` tells apart can be seen in it. Play never
        shows what follows an end. The reward there is that of ``class_mdp``. The label is ``"state"``.

        Raises:
            ValueError: the table is stochastic.
        """
        successors, values = self.class_mdp
        seen = channels_first(self._images, self.observation_space)
        assert isinstance(seen, np.ndarray)
        episodes = []
        for (i, action), j in np.ndenumerate(successors):
            reward = values[j] if values.ndim == 1 else values[i, action]
            labels = {"state": np.array([i, j], np.float64)}
            pair, rewards = seen[[i, j]], np.array([reward], np.float32)
            episodes.append(Episode(pair, np.array([action]), rewards, bool(self.ends[j]), labels))
        return episodes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Image, dict[str, Any]]:
        """Begin an episode, in the state ``options["state"]``, in 0..n-1, if it is given.

        Returns:
            The image, uint8 (image_size, image_size, 3), and the info with ``"state"``.

        Raises:
            ValueError: that is no state, or one that ends the episode, or there are other options; nothing has been
                reset then.
        """
        start = self._parse_start(options)
        observation, info = self.env.reset(seed=seed)
        world: Any = self.unwrapped
        if start is None and self._random_starts:
            start = int(self.np_random.choice(np.flatnonzero(~self.ends)))
        if start is not None:
            observation = world.s = int(self.states[start])
            if "action_mask" in info:
                info["action_mask"] = world.action_mask(observation)
        return self._see(observation, info)

    def step(self, action: int) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        """Take a step of the environment; its observation is the image of the state arrived in."""
        arrived, reward, terminated, truncated, info = self.env.step(action)
        observation, info = self._see(arrived, info)
        return observation, float(reward), terminated, truncated, info

    def _see(self, observation: int, info: dict[str, Any]) -> tuple[Image, dict[str, Any]]:
        state = self._number[int(observation)]
        return self._images[state].copy(), {**info, "state": state}

    def _parse_start(self, options: dict[str, Any] | None) -> int | None:
        given = dict(options or {})
        start = given.pop("state", None)
        if given:
            raise ValueError(f"options has the unknown keys {sorted(given)}: 'state' is the only one")
        if start is None:
            return None
        require_integer("options['state']", start, least=0)
        if start >= len(self.states) or self.ends[start]:
            raise ValueError(
                f"options['state']={start} is no start: give one of 0 to {len(self.states) - 1} that is not an end "
                f"({', '.join(map(str, np.flatnonzero(self.ends)))})"
            )
        return int(start)


def _reachable(table: Any, starts: list[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the states that play reaches from ``starts``, ascending (n,), and whether each ends the episode (n,)."""
    ends: set[int] = set()
    lasting, unseen = set(starts), list(starts)
    while unseen:
        for outcomes in table[unseen.pop()].values():
            for probability, state, _, ended in outcomes:
                if probability == 0:
                    continue
                if ended:
                    ends.add(int(state))
                elif state not in lasting:
                    lasting.add(int(state))
                    unseen.append(int(state))
    if both := ends & lasting:
        raise ValueError(
            f"env has the state {min(both)} in which an episode ends after one step and goes on after another: only "
            "environments whose ends are states have an MDP over states"
        )
    states = np.array(sorted(ends | lasting))
    return states, np.isin(states, list(ends))


def _mdp(
    table: Any, number: dict[int, int], ends: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return probabilities (k, n, n) and values (n,) or (n, k); see ``TableImages.class_mdp``."""
    n, k = len(number), len(table[next(iter(number))])
    probabilities, rewards = np.zeros((k, n, n)), np.zeros((n, k))
    arrivals: list[set[float]] = [set() for _ in number]
    for state, i in number.items():
        if ends[i]:
            probabilities[:, i, i] = 1
            continue
        for action, outcomes in table[state].items():
            for probability, arrived, reward, _ in outcomes:
                if probability == 0:
                    continue
                j = number[int(arrived)]
                probabilities[action, i, j] += probability
                rewards[i, action] += probability * reward
                arrivals[j].add(float(reward))
    if all(len(of_state) == 1 for of_state in arrivals):
        return probabilities, np.array([next(iter(of_state)) for of_state in arrivals])
    return probabilities, rewards


_SHARED: WeakValueDictionary[bytes, Image] = WeakValueDictionary()  # the images of every environment that lives


def _images(world: Any, states: NDArray[np.int64], size: int) -> Image:
    """Return the images (n, size, size, 3) of ``states``, those of an equal environment if there is one."""
    known = hashlib.sha256(pickle.dumps((type(world).__qualname__, size, world.P)))
    known.update(_image(world, states[0], size).tobytes())  # shows the map, of which a table does not tell all
    images = _SHARED.get(known.digest())
    if images is None:
        images = np.stack([_image(world, state, size) for state in states])
        _SHARED[known.digest()] = images
    return images


def _image(world: Any, state: int, size: int) -> Image:
    """Return the image (size, size, 3) of a state of the table."""
    world.s, world.lastaction = int(state), 0  # Taxi draws the last action too, as the way its taxi faces
    channels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(world.render(), -1, 0))).float()
    return interpolate(channels[None], (size, size), mode="area")[0].round().byte().permute(1, 2, 0).numpy()
