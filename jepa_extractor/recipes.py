"""Recipes of self-prediction, as options of ``JEPA``: our own, and published ones, which say where they differ.

``jepa_policy_kwargs(env, recipe="spr")`` takes one, and options given beside it win. What belongs to the
training, such as the batch, is not part of a recipe: give it to ``JEPACallback`` and to the algorithm. Our losses are
means over the steps that belong to an episode; the sources divide by all steps, also those behind an end.
"""

from collections.abc import Callable
from typing import Literal

from jepa_extractor.objectives.augmentation import RandomShift
from jepa_extractor.objectives.dynamics import CosineLoss, DynamicsLoss
from jepa_extractor.objectives.tasks import ActionRewardTask, EndTask, RewardTask
from jepa_extractor.options import JEPAOptions

RecipeName = Literal["shared", "paper", "spr", "mrq", "tdmpc2"]


def shared() -> JEPAOptions:
    """The default of policies: all that is read is what the algorithm has computed, so that ``Shared()`` is possible.

    One step, the latents that followed as target, without gradient, and the reward from predicted latents.
    """
    return {"target": "detach", "auxiliary": (RewardTask(latents="predicted"),)}


def paper() -> JEPAOptions:
    """P-JEPA, arXiv 2509.12249: the defaults of ``JEPA``.

    One step, the online latents as target, squared error with weight 2, and the reward with weight 10.

    Different here: encoder and heads are smaller, and the reward is a squared error, there a two-hot classification.
    """
    return {}


def spr() -> JEPAOptions:
    """SPR, arXiv 2007.05929, from github.com/mila-iqia/spr: scripts/run.py, src/models.py and src/algos.py.

    Five steps; cosine loss with weight 5 after a projection of width 512 and a linear predictor; latents scaled to
    [0, 1]; images shifted by up to 4 pixels and changed in intensity.

    Different here: a latent is a vector of 512, there a map of 64 x 7 x 7; the transition is a perceptron, there two
    convolutions. The projection is a layer of its own, there the first of the Q head. SPR's target on augmented images
    is a copy made at each update, that is ``"detach"`` but for one update; without augmentation it is a moving average,
    ``target="ema"``. Training there: batches of 32 drawn by priority, Adam at 1e-4, gradient norm at most 10, and the Q
    loss sees the augmented images too. ``JEPACallback(batch_size=32, rewarded_fraction=0, max_grad_norm=10)`` is near.
    """
    return {
        "latent_dim": 512,
        "normalization": "minmax",
        "auxiliary": (),
        "dynamics": CosineLoss(width=512),
        "dynamics_weight": 5.0,
        "target": "detach",
        "horizon": 5,
        "augmentation": ("shift", "intensity"),
    }


def mrq() -> JEPAOptions:
    """MR.Q, arXiv 2501.16142, from github.com/facebookresearch/MRQ: MRQ/MRQ.py and MRQ/models.py.

    Five steps; squared error against a copy of the encoder made every 250 updates; reward, two-hot over 65 bins, and
    end, squared error, both from unrolled latents. The weights are 1, 0.1 and 0.1 of the losses summed over the five
    steps, so five times that of our means. Images are shifted by up to 4 pixels.

    Different here: encoded and predicted latents have LayerNorm; there an ELU follows it, and predictions have neither.
    The reward has a perceptron on latent and action, the end one on the predicted latent; there both are linear in the
    transition's last hidden layer. The policy's gradient reaches the encoder; there it does not, and the encoder is
    trained 250 updates in a row. Training there: batches of 256 drawn by priority, AdamW at 1e-4 with decay 1e-4, no
    clip. ``JEPACallback(batch_size=256, rewarded_fraction=0, max_grad_norm=None)`` is near.
    """
    return {
        "latent_dim": 512,
        "transition_kwargs": {"hidden": 512, "layers": 2},
        "normalization": "layer",
        "auxiliary": (
            ActionRewardTask(0.5, latents="predicted", head="two-hot", head_kwargs={"bins": 65, "interpolate": "raw"}),
            EndTask(0.5, latents="predicted", head="number"),
        ),
        "dynamics_weight": 5.0,
        "target": "copy",
        "target_kwargs": {"every": 250},
        "horizon": 5,
        "augmentation": ("shift",),
    }


def tdmpc2() -> JEPAOptions:
    """TD-MPC2, arXiv 2310.16828, from github.com/nicklashansen/tdmpc2: tdmpc2/tdmpc2.py, config.yaml and common/.

    Three steps, discounted by 0.5 a step; squared error with weight 20 against the latents, without gradient; SimNorm;
    reward, two-hot over 101 bins, with weight 0.1, from unrolled latents and actions; end, cross-entropy, with weight 1
    and no discount. Images are shifted by up to 3 pixels.

    Different here: the value has no loss of its own, as the algorithm has one (there Q functions, weight 0.1, whose
    gradient reaches the transition too); no LayerNorm before SimNorm; the last layer of the reward does not begin at 0.
    There the end is learned only where ``episodic`` is set, as it is not by default. Training there: batches of 256,
    Adam at 3e-4, for the encoder at 0.3 of that, gradient norm at most 20.
    ``JEPACallback(batch_size=256, rewarded_fraction=0, max_grad_norm=20)`` is near.
    """
    wide = {"hidden": 512, "layers": 2}
    return {
        "latent_dim": 512,
        "transition_kwargs": wide,
        "normalization": "simnorm",
        "auxiliary": (
            ActionRewardTask(0.1, latents="predicted", head="two-hot", head_kwargs={"bins": 101, **wide}, discount=0.5),
            EndTask(1.0, latents="predicted", head="binary", head_kwargs=wide),
        ),
        "dynamics": DynamicsLoss(discount=0.5),
        "dynamics_weight": 20.0,
        "target": "detach",
        "horizon": 3,
        "augmentation": (RandomShift(pad=3),),
    }


RECIPES: dict[str, Callable[[], JEPAOptions]] = {
    "shared": shared,
    "paper": paper,
    "spr": spr,
    "mrq": mrq,
    "tdmpc2": tdmpc2,
}
