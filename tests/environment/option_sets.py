"""Sets of the environment's options: chosen ones, and any that fit, for hypothesis."""

from hypothesis import settings
from hypothesis import strategies as st

from counting_env import SHAPES
from counting_env.kernels import capacity

CHOSEN = [
    {},
    {"continuous": True},
    {"reward": "dense", "terminate_on_target": False},
    {"placement": "persist"},
    {"appearance": "object"},
    {"background": "noise", "image_size": 35},
    {"background": "clutter", "image_size": 35, "placement": "persist"},
    {"background": "drift", "image_size": 35, "appearance": "object"},
    {"target": (0, 5), "max_count": 5, "wrap": True, "placement": "persist", "appearance": "object"},
    {"target": {"circle": 2, "square": (1, 4)}, "least_count": 1, "max_count": 4, "reward": "dense"},
    {"slip": 0.4},
    {"target": 0, "max_count": 1, "image_size": 32, "appearance": "object"},
    {"target": 9, "max_count": 16, "image_size": 33, "placement": "persist", "appearance": "object"},
]


@st.composite
def option_sets(draw, **fixed):
    """Options of the environment, any that fit, apart from those given."""
    image_size = draw(st.integers(32, 96))
    max_count = draw(st.integers(1, min(capacity(image_size), 20)))
    least_count = draw(st.integers(0, max_count - 1))
    counts = st.integers(least_count, max_count)
    target = draw(counts | st.lists(counts, min_size=1, max_size=3).map(tuple))
    if draw(st.booleans()):
        target = draw(st.dictionaries(st.sampled_from(SHAPES), counts, min_size=1))
        fixed = {"appearance": "episode"} | fixed
    options = {
        "image_size": image_size,
        "least_count": least_count,
        "max_count": max_count,
        "target": target,
        "wrap": draw(st.booleans()),
        "slip": draw(st.sampled_from([0.0, 0.3])),
        "reward": draw(st.sampled_from(["sparse", "dense"])),
        "placement": draw(st.sampled_from(["resample", "persist"])),
        "appearance": draw(st.sampled_from(["episode", "object"])),
        "background": draw(st.sampled_from(["black", "noise", "clutter", "drift"])),
        "terminate_on_target": draw(st.booleans()),
        "max_episode_steps": draw(st.integers(1, 6)),
    }
    return options | fixed


seeds = st.integers(0, 2**31)
searched = settings(max_examples=25, deadline=None, derandomize=True)
