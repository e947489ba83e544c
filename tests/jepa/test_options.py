"""The options of a JEPA are listed once: signatures, help and saved files come from that list."""

import inspect
from typing import get_type_hints

import numpy as np
import pytest
from gymnasium import spaces

from jepa_extractor import JEPA, JEPAExtractor, jepa_policy_kwargs
from jepa_extractor.options import ARCHITECTURE, OPTIONS, JEPAOptions, complete_options

SPACE, ACTIONS = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)
TAKERS = {
    JEPA: ["observation_space", "action_space"],
    JEPAExtractor: ["observation_space", "action_space"],
    jepa_policy_kwargs: ["env_or_space", "recipe"],
}


@pytest.mark.parametrize("taker", TAKERS)
def test_signatures_come_from_the_list(taker):
    """By name alone, with default and type, so that editors complete them."""
    parameters = inspect.signature(taker).parameters
    assert list(parameters) == [*TAKERS[taker], *OPTIONS]
    hints = get_type_hints(JEPAOptions)  # without what is annotated
    for name, option in OPTIONS.items():
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[name].default == option.default
        assert parameters[name].annotation == hints[name]


@pytest.mark.parametrize("taker", TAKERS)
def test_help_comes_from_the_list(taker):
    """``help()`` says what each option means, in the list's words."""
    text = " ".join(inspect.getdoc(taker).split())
    assert "**options" not in text
    for name, option in OPTIONS.items():
        assert f"{name}: {' '.join(option.meaning.split())}" in text


@pytest.mark.parametrize("taker", TAKERS)
def test_an_unknown_option_is_refused_by_name(taker):
    """With its value, and the names that there are."""
    with pytest.raises(ValueError, match=r"laten_dim=3 is not an option of a JEPA: they are latent_dim, encoder, "):
        taker(*([SPACE] if taker is not jepa_policy_kwargs else []), ACTIONS, laten_dim=3)


def test_a_jepa_knows_all_its_options():
    """Those that were given, and the defaults of the others; what was given is not changed."""
    given = {"latent_dim": 8, "target": "ema"}
    jepa = JEPA(SPACE, ACTIONS, **given)
    assert list(jepa.options) == list(OPTIONS)
    assert jepa.options == {name: given.get(name, option.default) for name, option in OPTIONS.items()}
    assert complete_options({}) == {name: option.default for name, option in OPTIONS.items()}
    assert (jepa.latent_dim, jepa.horizon, jepa.normalize_images) == (8, 1, True)


# each option with another value; whether encoder or transition then differ
OTHER = {
    "latent_dim": (8, True),
    "encoder": ("identity", True),
    "encoder_kwargs": ({}, True),
    "transition": ("mlp", True),
    "transition_kwargs": ({"hidden": 5}, True),
    "normalization": ("layer", True),
    "normalize_images": (False, True),
    "auxiliary": ((), False),
    "dynamics": ("cosine", False),
    "dynamics_weight": (1.0, False),
    "target": ("copy", False),
    "target_kwargs": ({}, False),
    "horizon": (2, False),
    "augmentation": (("shift",), False),
}


def test_the_architecture_is_what_encoder_and_transition_depend_on():
    """A saved model names these; the others belong to its training."""
    assert tuple(name for name, (_, of_architecture) in OTHER.items() if of_architecture) == ARCHITECTURE
    assert list(OTHER) == list(OPTIONS)

    def shapes(options):
        jepa = JEPA(SPACE, ACTIONS, **{"latent_dim": 3, **options})
        parts = ("encoder", "transition", "predicted_norm")
        return {name: tuple(value.shape) for name, value in jepa.state_dict().items() if name.split(".")[0] in parts}

    plain = shapes({})
    for name, (value, of_architecture) in OTHER.items():
        if not of_architecture or name in ("latent_dim", "encoder", "transition_kwargs", "normalization"):
            assert (shapes({name: value}) != plain) == of_architecture, name


def test_images_that_stay_as_they_are():
    """``normalize_images=False`` reaches JEPA and policy alike, and leaves pixels as they are stored."""
    image = spaces.Box(0, 255, (3, 36, 36), np.uint8)
    kwargs = jepa_policy_kwargs(ACTIONS, normalize_images=False)
    assert kwargs["normalize_images"] is kwargs["features_extractor_kwargs"]["normalize_images"] is False
    assert "normalize_images" not in jepa_policy_kwargs(ACTIONS)
    seen = []
    for normalize_images in (True, False):
        jepa = JEPA(image, ACTIONS, normalize_images=normalize_images)
        jepa.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        jepa.encode(np.full((2, 36, 36, 3), 51, np.uint8))
    assert [one.unique().tolist() for one in seen] == [pytest.approx([0.2]), [51.0]]
