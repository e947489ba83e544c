"""Options and pieces out of range."""

import pytest

from jepa_extractor import JEPA, QTask, RewardTask
from jepa_extractor.networks.heads import TwoHotHead
from jepa_extractor.objectives import RandomShift, SIGReg, VICReg
from tests.objectives.batches import ACTIONS, VECTOR, D


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dynamics": "huber"}, "dynamics='huber' is unknown: choose among squared, cosine"),
        ({"target": "slow"}, "target='slow' is unknown: choose one of online, detach, ema, copy"),
        ({"target": "ema", "target_kwargs": {"rate": 0}}, r"rate=0 is not a number in \(0, 1\]"),
        ({"target": "copy", "target_kwargs": {"every": 0}}, "every=0"),
        ({"augmentation": "shift"}, "augmentation='shift' is not a sequence"),
        ({"augmentation": ("flip",)}, "augmentation='flip' is unknown: choose among shift, intensity"),
        ({"transition_kwargs": {"layers": 0}}, "layers=0"),
    ],
)
def test_bad_options(options, message):
    """Each names the option, its value and the mend."""
    with pytest.raises(ValueError, match=message):
        JEPA(VECTOR, ACTIONS, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RewardTask(latents="imagined"), "latents='imagined' is unknown: choose one of encoded, predicted"),
        (lambda: RewardTask(head="softmax"), "head='softmax' is unknown: choose one of number, binary, two-hot"),
        (lambda: RewardTask(discount=1.5), "discount=1.5"),
        (lambda: QTask(discount=7), "discount=7 is not a number in"),
        (lambda: TwoHotHead(D, bins=1), "bins=1"),
        (lambda: TwoHotHead(D, interpolate="log"), "interpolate='log' is unknown"),
        (lambda: RandomShift(pad=0), "pad=0"),
        (lambda: SIGReg(knots=1), "knots=1"),
        (lambda: VICReg(covariance=-1.0), "covariance=-1.0"),
    ],
)
def test_bad_pieces(make, message):
    """A piece out of range is refused when it is made."""
    with pytest.raises(ValueError, match=message):
        make()
