"""CountingEnv once more, in plain Python: every rule, random number and pixel, without a line of the package.

Counts and rewards follow the docstring of ``CountingEnv``, random numbers the definition of SplitMix64, and sprites and
hues come from ``drawing``. From the same seed it must say what the package says.
"""

import numpy as np

from tests.environment.drawing import MASKS, rainbow

SHAPES = ("circle", "square", "triangle", "stroke")
HUES = [tuple(color) for color in rainbow().tolist()]
WORD = 2**64


class Stream:
    """SplitMix64, as Steele, Lea and Flood (2014) define it, in Python's integers."""

    def __init__(self, rng):
        self.state = int(rng.integers(0, WORD, dtype=np.uint64))

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % WORD
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
        return z ^ (z >> 31)

    def below(self, bound):
        return (self.bits() >> 32) * bound >> 32

    def chance(self):
        return (self.bits() >> 11) / 2**53


class Twin:
    """One environment with a time limit, whose ``options`` are those of CountingEnv with discrete actions."""

    def __init__(
        self,
        target=4,
        max_count=8,
        image_size=64,
        reward="sparse",
        placement="resample",
        appearance="episode",
        background="black",
        terminate_on_target=True,
        least_count=0,
        wrap=False,
        slip=0.0,
        max_episode_steps=4,
    ):
        self.target, self.least, self.most, self.size = target, least_count, max_count, image_size
        self.dense, self.persist = reward == "dense", placement == "persist"
        self.each, self.background = appearance == "object", background
        self.terminates, self.wrap, self.slip, self.limit = terminate_on_target, wrap, slip, max_episode_steps

    def seed(self, rng):
        self.random = Stream(rng)

    def reset(self, count=None, shape=None, color=None):
        self.steps, self.success = 0, False
        self.count = self.least + self.random.below(self.most - self.least + 1) if count is None else count
        self.looks = [self._look(shape, color) for _ in range(self.count if self.each else 1)]
        if self.persist:
            self.places = self._scatter(self.most)
        if self.background == "clutter":
            self._draw_clutter()
        elif self.background == "drift":
            self.wave = [self.random.below(25) - 12, 4 + self.random.below(9)]
            speed = 16 + self.random.below(48)
            self.speed = speed if self.random.below(2) else -speed
            self.corner = self.random.below(768)
        return self._paint(), self.info()

    def step(self, action):
        if self.slip and self.random.chance() < self.slip:
            action = 1 - action
        before, count = self.count, self.count + (1 if action == 1 else -1)
        if count > self.most:
            count = self.least if self.wrap else self.most
        elif count < self.least:
            count = self.most if self.wrap else self.least
        self.count = count
        for k in range(before, count):
            if self.each:
                self.looks.append(self._look())
            if self.persist:
                other = k + self.random.below(self.most - k)
                self.places[k], self.places[other] = self.places[other], self.places[k]
        if self.each:
            del self.looks[count:]
        if self.background == "drift":
            self.corner += self.speed
        image = self._paint()
        self.steps += 1
        self.success = count in self._targets()
        ended = self.success and self.terminates
        return image, self._reward(), ended, self.steps >= self.limit, self.info()

    def info(self):
        shapes, colors = [shape for shape, _ in self.looks], [color for _, color in self.looks]
        absent = self.most - self.count
        counts = self.most - self.least + 1
        first = SHAPES.index(shapes[0]) * counts if isinstance(self.target, dict) else 0
        return {
            "count": self.count,
            "shape": shapes + [""] * absent if self.each else shapes[0],
            "color": colors + [[0, 0, 0]] * absent if self.each else colors[0],
            "positions": [*self.positions, *[[-1, -1]] * absent],
            "is_success": self.success,
            "state": first + self.count - self.least,
        }

    def _targets(self):
        target = self.target.get(self.looks[0][0], ()) if isinstance(self.target, dict) else self.target
        return target if isinstance(target, tuple) else (target,)

    def _reward(self):
        targets = self._targets()
        if self.count in targets:
            return 1.0
        if not self.dense or not targets:
            return 0.0
        counts = range(self.least, self.most + 1)
        return -self._way(self.count) / max(self._way(count) for count in counts)

    def _way(self, count):
        """Return the number of steps from ``count`` to the nearest target."""
        ways = [abs(count - target) for target in self._targets()]
        if self.wrap:
            ways += [self.most - self.least + 1 - way for way in ways]
        return min(ways)

    def _look(self, shape=None, color=None):
        shape = SHAPES[self.random.below(4)] if shape is None else shape
        return shape, [30 + self.random.below(196) for _ in range(3)] if color is None else list(color)

    def _scatter(self, count):
        places: list[list[int]] = []
        for _ in range(count):
            for _ in range(50):
                place = [3 + self.random.below(self.size - 6) for _ in range(2)]
                if all(abs(place[0] - row) > 7 or abs(place[1] - column) > 7 for row, column in places):
                    places.append(place)
                    break
            else:
                return self._lattice(count)
        return places

    def _lattice(self, count):
        side = (self.size + 1) // 8
        slack = self.size - (8 * side - 1)
        top, left = 3 + self.random.below(slack + 1), 3 + self.random.below(slack + 1)
        places: list[list[int]] = []
        for cell in range(side**2):
            if self.random.below(side**2 - cell) < count - len(places):
                places.append([top + 8 * (cell // side), left + 8 * (cell % side)])
        for k in reversed(range(1, count)):
            other = self.random.below(k + 1)
            places[k], places[other] = places[other], places[k]
        return places

    def _draw_clutter(self):
        size = self.size
        ground = HUES[self.random.below(768)]
        self.clutter = [[ground] * size for _ in range(size)]
        for _ in range(size):
            hue = HUES[self.random.below(768)]
            top, left = self.random.below(size), self.random.below(size)
            height, width = 3 + self.random.below(size // 4), 3 + self.random.below(size // 4)
            for row in range(top, min(top + height, size)):
                for column in range(left, min(left + width, size)):
                    self.clutter[row][column] = hue

    def _paint(self):
        """Put the objects in their places, and return the image, uint8 (S, S, 3), drawn pixel by pixel."""
        self.positions = self.places[: self.count] if self.persist else self._scatter(self.count)
        size = self.size
        if self.background == "noise":
            words = [self.random.bits() for _ in range(-(-3 * size**2 // 8))]
            data = b"".join(word.to_bytes(8, "little") for word in words)
            pixels = [[tuple(data[3 * (size * r + c) :][:3]) for c in range(size)] for r in range(size)]
        elif self.background == "clutter":
            pixels = [list(row) for row in self.clutter]
        elif self.background == "drift":
            down, along = self.wave
            pixels = [[HUES[(self.corner + down * r + along * c) % 768] for c in range(size)] for r in range(size)]
        else:
            pixels = [[(0, 0, 0)] * size for _ in range(size)]
        for k, (row, column) in enumerate(self.positions):
            shape, color = self.looks[k if self.each else 0]
            for r in range(7):
                for c in range(7):
                    if MASKS[shape][r, c]:
                        pixels[row - 3 + r][column - 3 + c] = tuple(color)
        return np.array(pixels, np.uint8)
