"""Encoders: preprocessed observations (B, ...) to latents (B, D).

An encoder is built from the observation space and D. Preprocessed images are float32 with their channels first.
"""

import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor.checks import require_choice, shown
from jepa_extractor.data.batch import Tensors
from jepa_extractor.data.observations import map_arrays
from jepa_extractor.data.spaces import preprocessed_shape, preprocessed_size
from jepa_extractor.networks.modules import made_module, output_shape

EncoderName = Literal[
    "auto", "pooled", "both", "places", "gated", "nature", "resnet", "grid", "mlp", "combined", "identity"
]
MakeEncoder = Callable[..., nn.Module]  # (observation_space, latent_dim, **arguments) -> nn.Module

KERNEL = 5  # pixels: smaller than most objects, so that one place hardly sees two of them
STRIDE = 3  # pixels: below the kernel, so that windows overlap and it matters little where an object begins
CELLS = 5  # rows and columns of the coarse map
PLACES = 16  # about how many places see an object of 7x7 pixels
LEVELS = (-2.0, 3.0)  # powers of two between which the levels of a ladder lie
FAST = 4e-3  # the highest learning rate of ``pretrain`` for encoders that normalise their features
LEAST_SIZE = 32  # pixels of height and width that the convolutions need
NATURE_LEAST_SIZE = 36  # below, the last convolution of NatureCNN has no input left
GRID_LEAST_SIZE = 5


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each position.

    A position does not see the others through it, so what lies at several positions still adds up in their mean;
    and there are no running statistics that auxiliary batches could change.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise features (B, C, H, W) over C."""
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PlaceFeatures(nn.Module):
    """What can be seen at each place: a 5x5/3 convolution to 32 channels, ReLU, linear 32 to 32, LayerNorm, ReLU.

    Nothing has a bias before the norm, so brightness drops out: a dark object counts nearly as much as a bright one;
    and a black place yields exactly 0. The norm is over the channels of one place, so no place sees the others through
    it, nor does any image see the rest of its batch. It also fixes the size of the features, however the layers before
    it were initialised. About 1.7 million multiply-adds for a 64x64 image with three channels.

    Args:
        in_channels: channels of the image.
        bfloat16: whether to compute in bfloat16, where the processor is faster in it.
    """

    channels = 32

    def __init__(self, in_channels: int, bfloat16: bool = False) -> None:
        super().__init__()
        self.in_bfloat16 = bfloat16
        self.convolution = nn.Conv2d(in_channels, self.channels, KERNEL, STRIDE, padding=KERNEL // 2, bias=False)
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Linear(self.channels, self.channels, bias=False),  # a 1x1 convolution where channels come last
            nn.LayerNorm(self.channels, bias=False),
            nn.ReLU(),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) in [0, 1] to features (B, H', W', 32), at least 0."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            features = self.convolution(images.contiguous(memory_format=torch.channels_last))
            places: torch.Tensor = self.layers(features.permute(0, 2, 3, 1))  # a view: channels already come last
        return places


class Ladder(nn.Module):
    """Units that ask, each at a level of its own: is there more than that?

    The norm of ``PlaceFeatures`` gives each place about the same total over its channels, so a mean of the sums counts
    the places where something is, whatever that is, before anything is learned. Each unit begins as such a mean, with
    random weights that are at least 0; softsign rises around its level, and so slowly further on that no unit falls
    silent, nor do latents grow with what there is. The logarithms of the levels are spread evenly, from 0.25 to 8:
    about 1 to 27 objects of 7x7 pixels. All that is learned afterwards, like any layer.

    Args:
        channels: width of the sums.
        units: how many levels.
        steepness: of a unit, which begins as 2 * softsign(steepness * (mean / level - 1)).
    """

    scale = 2.0  # with units of half the size PPO learned more slowly, with units that have no bound DQN did

    def __init__(self, channels: int, units: int = 64, steepness: float = 2.0) -> None:
        super().__init__()
        levels = torch.logspace(*LEVELS, units, base=2.0)
        means = torch.rand(units, channels) * 2 / channels
        # Parameters rather than a layer: Stable-Baselines3 would replace those of a layer by its own initialisation.
        self.weight = nn.Parameter(steepness * means / levels[:, None])
        self.bias = nn.Parameter(torch.full((units,), -steepness))

    def forward(self, sums: torch.Tensor) -> torch.Tensor:
        """Map sums (B, channels) to (B, units), between -2 and 2."""
        objects = sums / PLACES  # not in the weights, where it would make a step of Adam 16 times as large
        return self.scale * nn.functional.softsign(nn.functional.linear(objects, self.weight, self.bias))


class PooledEncoder(nn.Module):
    """The sum of ``PlaceFeatures`` over all places, a ``Ladder``, and a linear layer: it counts what it sees.

    A sum grows by the same amount with each object, in images of any size.

    Args:
        observation_space: an image space, channels first, at least 32x32 pixels.
        latent_dim: width D of the latent.
        bfloat16: whether ``PlaceFeatures`` computes in bfloat16; the sum is always in float32.
    """

    learning_rate = FAST
    steepness = 2.0  # of the ladder

    def __init__(self, observation_space: spaces.Space[Any], latent_dim: int, bfloat16: bool = False) -> None:
        super().__init__()
        self.places = PlaceFeatures(_image_shape("pooled", observation_space, LEAST_SIZE)[0], bfloat16)
        self.ladder = Ladder(self.places.channels, steepness=self.steepness)
        self.linear = nn.Linear(64, latent_dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) in [0, 1], at least 32 pixels high and wide, to latents (B, D)."""
        sums = self.places(images).sum(dim=(1, 2), dtype=torch.float32)
        latents: torch.Tensor = self.linear(self.ladder(sums))
        return latents


class PlacesEncoder(nn.Module):
    """``PooledEncoder`` with a coarse map beside the sums, so that places are kept as well as counts.

    The map is the mean of ``PlaceFeatures`` in each of 5x5 cells, brought to 16 channels, normalised by LayerNorm, and
    read by a linear layer to 64 and ReLU.

    Args:
        observation_space: an image space, channels first, at least 32x32 pixels.
        latent_dim: width D of the latent.
        bfloat16: whether ``PlaceFeatures`` computes in bfloat16; the rest is always in float32.
    """

    learning_rate = FAST

    def __init__(self, observation_space: spaces.Space[Any], latent_dim: int, bfloat16: bool = False) -> None:
        super().__init__()
        self.places = PlaceFeatures(_image_shape("places", observation_space, LEAST_SIZE)[0], bfloat16)
        channels, cells = self.places.channels, 16 * CELLS**2
        self.ladder = Ladder(channels)
        self.map = nn.Sequential(
            nn.AdaptiveAvgPool2d(CELLS),
            nn.Conv2d(channels, 16, kernel_size=1),
            nn.Flatten(),
            nn.LayerNorm(cells),
            nn.Linear(cells, 64),
            nn.ReLU(),
        )
        self.linear = nn.Linear(128, latent_dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) in [0, 1], at least 32 pixels high and wide, to latents (B, D)."""
        places = self.places(images).float()
        counts = self.ladder(places.sum(dim=(1, 2)))
        latents: torch.Tensor = self.linear(torch.cat([counts, self.map(places.permute(0, 3, 1, 2))], dim=1))
        return latents


class BothEncoder(PooledEncoder):
    """``PooledEncoder``, and added to it what a small convolutional network sees in its place.

    That is the network of Mnih et al. (2013, arXiv 1312.5602), with D units at its end: 8x8/4 convolution to 16
    channels, 4x4/2 to 32, a linear layer, ReLU after each. With one more layer after that, PPO learned half as fast in
    Minigrid.

    Args:
        observation_space: an image space, channels first, at least 32x32 pixels.
        latent_dim: width D of the latent.
        bfloat16: whether ``PlaceFeatures`` computes in bfloat16; the rest is always in float32.
    """

    def __init__(self, observation_space: spaces.Space[Any], latent_dim: int, bfloat16: bool = False) -> None:
        super().__init__(observation_space, latent_dim, bfloat16)
        shape = _image_shape("both", observation_space, LEAST_SIZE)
        convolutions = nn.Sequential(
            nn.Conv2d(shape[0], 16, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Flatten(),
        )
        width = output_shape(convolutions, torch.zeros(1, *shape))[1]
        self.sight = nn.Sequential(convolutions, nn.Linear(width, latent_dim), nn.ReLU())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) in [0, 1], at least 32 pixels high and wide, to latents (B, D)."""
        latents: torch.Tensor = super().forward(images) + self.sight(images)
        return latents


class GatedEncoder(PooledEncoder):
    """``PooledEncoder`` that sees only what is flat: for objects of one colour on noise.

    Each pixel is multiplied by how flat it is: 1 where it equals its left neighbour, 0 where a channel differs by 16
    grey levels or more. That is a prior: it erases texture, also where texture matters. The ladder's units are less
    steep, since the gate lets some noise through.
    """

    steepness = 1.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) in [0, 1], at least 32 pixels high and wide, to latents (B, D)."""
        left = nn.functional.pad(images, (1, 0, 0, 0))[..., :-1]
        steps = (images - left).abs().amax(dim=1, keepdim=True)
        return super().forward(images * (1 - steps * (255 / 16)).relu())


class NatureEncoder(nn.Module):
    """The network of Mnih et al. (Nature 2015), as Stable-Baselines3's ``NatureCNN``, and a linear layer.

    8x8/4 convolution to 32 channels, 4x4/2 to 64, 3x3 to 64, a linear layer to 512, ReLU after each. Features keep
    their places. It sees the whole of images of 36, 44, 52 pixels and so on, 84 among them; in between, the strides
    leave out up to seven rows at the bottom and columns at the right: the last four of 64.

    Args:
        observation_space: an image space, channels first, at least 36x36 pixels.
        latent_dim: width D of the latent.
    """

    def __init__(self, observation_space: spaces.Space[Any], latent_dim: int) -> None:
        super().__init__()
        shape = _image_shape("nature", observation_space, NATURE_LEAST_SIZE)
        self.convolutions = nn.Sequential(
            nn.Conv2d(shape[0], 32, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, kernel_size=3),
            nn.ReLU(),
            nn.Flatten(),
        )
        width = output_shape(self.convolutions, torch.zeros(1, *shape))[1]
        self.linear = nn.Sequential(nn.Linear(width, 512), nn.ReLU(), nn.Linear(512, latent_dim))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) to latents (B, D)."""
        latents: torch.Tensor = self.linear(self.convolutions(images))
        return latents


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions without normalisation, added to their input (He et al., CVPR 2016).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; where they differ, height and width are halved.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        stride = 1 if in_channels == out_channels else 2
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        )
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, H, W) to (B, out_channels, H, W) or half the height and width."""
        return torch.relu(self.skip(features) + self.residual(features))


class ResNetEncoder(nn.Module):
    """The encoder of the reference implementation of arXiv 2509.12249; far too slow to train on a CPU.

    7x7/2 convolution, max-pool, four stages of eight residual blocks (32, 64, 128 and 256 channels) without
    normalisation, the mean over all positions, one linear layer: 12.3 million parameters.

    Args:
        observation_space: an image space, channels first, at least 32x32 pixels.
        latent_dim: width D of the latent.
    """

    def __init__(self, observation_space: spaces.Space[Any], latent_dim: int) -> None:
        super().__init__()
        channels = _image_shape("resnet", observation_space, LEAST_SIZE)[0]
        widths = (32, 64, 128, 256)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], kernel_size=7, stride=2, padding=3),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        inputs = [widths[0], *(width for width in widths for _ in range(8))]
        self.blocks = nn.Sequential(*(ResidualBlock(*pair) for pair in itertools.pairwise(inputs)))
        self.linear = nn.Linear(widths[-1], latent_dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) in [0, 1], at least 32 pixels high and wide, to latents (B, D)."""
        features: torch.Tensor = self.blocks(self.stem(images)).mean(dim=(2, 3))
        latents: torch.Tensor = self.linear(features)
        return latents


class MLPEncoder(nn.Module):
    """A perceptron with two hidden layers of 128, LayerNorm and ReLU, for observations that are no images.

    Args:
        observation_space: any space but ``Dict`` and ``Tuple``.
        latent_dim: width D of the latent.
    """

    learning_rate = FAST

    def __init__(self, observation_space: spaces.Space[Any], latent_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(_flat_size(observation_space), 128),
            nn.LayerNorm(128),
            nn.ReLU(),
            nn.Linear(128, 128),
            nn.LayerNorm(128),
            nn.ReLU(),
            nn.Linear(128, latent_dim),
        )

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Map float32 observations (B, ...) to latents (B, D)."""
        latents: torch.Tensor = self.layers(observations)
        return latents


class IdentityEncoder(nn.Flatten):
    """The observation is the latent already.

    Args:
        observation_space: any space but ``Dict`` and ``Tuple``, of D numbers.
        latent_dim: width D of the latent.
    """

    learning_rate = FAST

    def __init__(self, observation_space: spaces.Space[Any], latent_dim: int) -> None:
        super().__init__()
        size = _flat_size(observation_space)
        if size != latent_dim:
            raise ValueError(
                f"latent_dim={latent_dim} must be {size} for encoder='identity': the observation is the latent"
            )


class GridEncoder(nn.Module):
    """Two padded 3x3 convolutions over a small grid whose cells keep their places, and a linear layer.

    For grids of at least 5x5 cells and any number of channels, such as MinAtar's 10x10 or Minigrid's symbols.

    Args:
        observation_space: a ``Box`` with three axes, of any dtype.
        latent_dim: width D of the latent.
        channels: the axis of the channels, ``"first"`` or ``"last"``; ``None``: the one whose length differs from that
            of the two others, or else the shortest.
    """

    learning_rate = FAST

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        latent_dim: int,
        channels: Literal["first", "last"] | None = None,
    ) -> None:
        super().__init__()
        shape = _require_box("grid", observation_space).shape
        if channels is None:
            channels = "last" if _grid_channels_last(shape) else "first"
        require_choice("channels", channels, ("first", "last"))
        self.channels_last = channels == "last"
        depth, height, width = (shape[2], *shape[:2]) if self.channels_last else shape
        if min(height, width) < GRID_LEAST_SIZE:
            raise ValueError(
                f"observation_space={observation_space} is too small: encoder='grid' takes at least "
                f"{GRID_LEAST_SIZE} x {GRID_LEAST_SIZE} cells, with channels={shown(channels)}"
            )
        self.convolutions = nn.Sequential(
            nn.Conv2d(depth, 32, kernel_size=3, padding=1),
            ChannelNorm(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, kernel_size=3, padding=1),
            ChannelNorm(32),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.linear = nn.Linear(32 * height * width, latent_dim)

    def forward(self, grids: torch.Tensor) -> torch.Tensor:
        """Map float32 grids (B, *shape of the observation space) to latents (B, D)."""
        if self.channels_last:
            grids = grids.movedim(-1, 1)
        latents: torch.Tensor = self.linear(self.convolutions(grids))
        return latents


class CombinedEncoder(nn.Module):
    """An encoder for each entry of a ``Dict`` observation, and a perceptron over all their outputs.

    Images and grids get the encoder that ``"auto"`` picks, of D numbers; everything else is flattened.

    Args:
        observation_space: a ``Dict`` of spaces, none of them a ``Dict``.
        latent_dim: width D of the latent.
    """

    learning_rate = FAST

    def __init__(self, observation_space: spaces.Space[Any], latent_dim: int) -> None:
        super().__init__()
        if not isinstance(observation_space, spaces.Dict):
            raise ValueError(f"observation_space={observation_space} is no Dict: encoder='combined' takes one")
        self.parts = nn.ModuleDict()
        width = 0
        for number, space in enumerate(observation_space.values()):  # a key may be no name for a module
            name = pick_encoder(space)
            if name == "mlp":
                self.parts[f"part{number}"] = nn.Flatten()
                width += _flat_size(space)
            else:
                self.parts[f"part{number}"] = make_encoder(name, space, latent_dim)
                width += latent_dim
        self.keys = tuple(observation_space.keys())
        self.layers = nn.Sequential(nn.Linear(width, 128), nn.LayerNorm(128), nn.ReLU(), nn.Linear(128, latent_dim))

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Map preprocessed observations, float32 (B, ...) each, to latents (B, D)."""
        parts = [part(observations[key]) for key, part in zip(self.keys, self.parts.values(), strict=True)]
        latents: torch.Tensor = self.layers(torch.cat(parts, dim=1))
        return latents


ENCODERS: dict[str, MakeEncoder] = {
    "pooled": PooledEncoder,
    "both": BothEncoder,
    "places": PlacesEncoder,
    "gated": GatedEncoder,
    "nature": NatureEncoder,
    "resnet": ResNetEncoder,
    "grid": GridEncoder,
    "mlp": MLPEncoder,
    "combined": CombinedEncoder,
    "identity": IdentityEncoder,
}


def pick_encoder(observation_space: spaces.Space[Any]) -> str:
    """Return the name of the encoder that ``"auto"`` stands for.

    ``"combined"`` for a ``Dict``; for a ``Box`` with three axes ``"pooled"`` from 32x32 pixels, or else ``"grid"``;
    ``"mlp"`` for everything else.

    Raises:
        ValueError: uint8 observations of 32x32 or more with another number of axes are images that no policy takes.
    """
    if isinstance(observation_space, spaces.Dict):
        return "combined"
    if not isinstance(observation_space, spaces.Box):
        return "mlp"
    if len(observation_space.shape) != 3:
        large = [size for size in observation_space.shape if size >= LEAST_SIZE]
        if observation_space.dtype == "uint8" and len(large) >= 2:
            raise ValueError(
                f"observation_space={observation_space} is of images with {len(observation_space.shape)} axes: give "
                "three, as (height, width, channels), where frames stacked are channels (VecFrameStack), or "
                "encoder='mlp' to take pixels for plain numbers"
            )
        return "mlp"
    looks_large = sorted(observation_space.shape)[1] >= LEAST_SIZE  # channels may be last here: the encoder will say so
    return "pooled" if looks_large else "grid"


def make_encoder(
    encoder: EncoderName | MakeEncoder | str,
    observation_space: spaces.Space[Any],
    latent_dim: int,
    encoder_kwargs: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return an encoder for preprocessed observations of ``observation_space``.

    Args:
        encoder: a name, or a callable ``(observation_space, latent_dim, **encoder_kwargs) -> nn.Module``. A class of
            Stable-Baselines3's ``BaseFeaturesExtractor`` is one, also if it takes the observation space alone.
        observation_space: space of observations, before they are preprocessed.
        latent_dim: width D of the latent. What yields another width is followed by a linear layer.
        encoder_kwargs: further arguments of the encoder.

    Raises:
        ValueError: the name is unknown, or the encoder cannot take such observations.
    """
    arguments = dict(encoder_kwargs or {})
    parts = observation_space.values() if isinstance(observation_space, spaces.Dict) else [observation_space]
    if any(isinstance(part, spaces.Box) and part.shape == () for part in parts):
        raise ValueError(
            f"observation_space={shown(observation_space)} has numbers without an axis, which networks do not take: "
            "give them one, by gymnasium.wrappers.ReshapeObservation(env, (1,))"
        )
    if isinstance(encoder, str):
        require_choice("encoder", encoder, get_args(EncoderName))
        return ENCODERS[pick_encoder(observation_space) if encoder == "auto" else encoder](
            observation_space, latent_dim, **arguments
        )
    if not callable(encoder):
        raise ValueError(
            f"encoder={shown(encoder)} is unknown: choose one of {', '.join(get_args(EncoderName))}, or give a "
            "callable (observation_space, latent_dim) -> nn.Module"
        )
    if isinstance(encoder, nn.Module):
        name = type(encoder).__name__
        raise ValueError(f"encoder is a {name}, ready made: give its class, called as (observation_space, latent_dim)")
    module = made_module(
        "encoder", encoder, observation_space, *([latent_dim] if _takes_two(encoder) else []), **arguments
    )
    example = _example(observation_space)
    try:
        shape = output_shape(module, example)
    except Exception as error:
        shapes = map_arrays(lambda tensor: tuple(tensor.shape), example)
        raise ValueError(f"encoder={shown(encoder)} fails on preprocessed observations {shapes}: {error}") from error
    if len(shape) != 2:
        raise ValueError(f"encoder={shown(encoder)} maps 2 observations to shape {shape}: it must return (B, features)")
    return module if shape[1] == latent_dim else nn.Sequential(module, nn.Linear(shape[1], latent_dim))


def _takes_two(encoder: MakeEncoder) -> bool:
    """Return whether ``encoder`` takes a second argument by position."""
    kinds = [parameter.kind for parameter in inspect.signature(encoder).parameters.values()]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(kind in positional for kind in kinds) >= 2 or inspect.Parameter.VAR_POSITIONAL in kinds


def _example(space: spaces.Space[Any]) -> Tensors:
    """Return two preprocessed observations of zeros."""
    if isinstance(space, spaces.Dict):
        return {key: torch.zeros(2, *preprocessed_shape(subspace)) for key, subspace in space.items()}
    return torch.zeros(2, *preprocessed_shape(space))


def _flat_size(observation_space: spaces.Space[Any]) -> int:
    """Return how many numbers a preprocessed observation has."""
    if isinstance(observation_space, spaces.Dict | spaces.Tuple):
        raise ValueError(
            f"observation_space={observation_space} is composed of several: use encoder='combined' for a Dict, or "
            "flatten it, for instance with gymnasium.wrappers.FlattenObservation"
        )
    return preprocessed_size(observation_space)


def _require_box(encoder: str, space: spaces.Space[Any]) -> spaces.Box:
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        raise ValueError(
            f"observation_space={space} is not an image: encoder={shown(encoder)} takes a Box of shape (channels, "
            "height, width); for flat vectors use encoder='mlp'"
        )
    return space


def _image_shape(encoder: str, space: spaces.Space[Any], least_size: int) -> tuple[int, ...]:
    """Return (channels, height, width) of ``space``, or say why it is no image space that ``encoder`` takes."""
    shape = _require_box(encoder, space).shape
    if min(shape[1:]) < least_size:
        if min(shape[:2]) >= least_size:  # Stable-Baselines3 moves the channels of uint8 images only
            raise ValueError(
                f"observation_space={space} has its channels last: wrap the environment in "
                "stable_baselines3.common.vec_env.VecTransposeImage, or move the channels to the front yourself where "
                "values are not uint8 from 0 to 255"
            )
        raise ValueError(
            f"observation_space={space} is too small: encoder={shown(encoder)} takes images of at least "
            f"{least_size} x {least_size} pixels; for small grids use encoder='grid'"
        )
    return shape


def _grid_channels_last(shape: tuple[int, ...]) -> bool:
    if shape[0] == shape[1] != shape[2]:
        return True
    if shape[1] == shape[2]:
        return False
    return shape[2] == min(shape)
