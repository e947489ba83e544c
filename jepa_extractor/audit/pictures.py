"""Observations as small pictures, or as numbers where they cannot be drawn."""

from base64 import b64encode
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jepa_extractor.data.observations import Arrays

Colour = tuple[int, int, int]

# Okabe and Ito (2008): eight colours that the colour-blind tell apart, with grey in the place of black
OKABE_ITO = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")

# Longest side in pixels and quality (None: nothing is lost), from the best to the smallest
SETTINGS = ((64, None), (64, 80), (48, 70), (40, 50), (32, 40), (24, 30), (16, 20))
NUMBERS = 8  # of an observation that cannot be drawn


class Pictures:
    """Draws the observations of a data set, all to the same scale.

    Drawn are arrays of two axes, or of three of which the first or the last is the channels: 1 or 3 are grey or red,
    green and blue; of others, uint8 are taken for stacked frames, and the last frame is shown, and the rest for layers,
    each shown in a colour of its own, the later above. Of a dict the first array that can be drawn is.

    Args:
        observations: (N, ...), or a dict of such arrays.
    """

    def __init__(self, observations: Arrays) -> None:
        self._observations = observations
        parts = observations.values() if isinstance(observations, dict) else [observations]
        drawn = (part for part in parts if part.ndim in (3, 4) and part[0].squeeze().ndim > 1)
        self._frames = next(drawn, None)
        if self._frames is not None:
            low, high = float(self._frames.min()), float(self._frames.max())
            if self._frames.dtype == np.uint8:
                low, high = 0.0, 255.0 if high > 31 else max(high, 1.0)  # grids of small numbers are uint8 too
            self._low, self._range = low, max(high - low, 1e-12)

    @property
    def can_draw(self) -> bool:
        """Whether observations can be drawn."""
        return self._frames is not None

    def picture(self, row: int) -> Image.Image:
        """Return observation ``row`` as a picture of its own size."""
        assert self._frames is not None, "these observations cannot be drawn"
        frame = self._frames[row]
        if frame.ndim == 3:
            frame = frame if frame.shape[-1] < frame.shape[0] else np.moveaxis(frame, 0, -1)
            channels = frame.shape[-1]
            if channels not in (1, 3):
                if frame.dtype != np.uint8:
                    return Image.fromarray(_layers(frame))
                frame = frame[..., -3:] if channels % 3 == 0 else frame[..., -1:]
            frame = frame[..., 0] if frame.shape[-1] == 1 else frame
        scaled = (frame.astype(np.float64) - self._low) / self._range
        return Image.fromarray((255 * scaled.clip(0, 1)).round().astype(np.uint8))

    def png(self, row: int) -> bytes:
        """Return the picture of observation ``row`` as a PNG file."""
        return _file(self.picture(row), "PNG")

    def numbers(self, row: int) -> str:
        """Return the first numbers of observation ``row``."""
        parts = self._observations if isinstance(self._observations, dict) else {"": self._observations}
        return "; ".join(
            f"{key}: {shown_numbers(part[row])}" if key else shown_numbers(part[row]) for key, part in parts.items()
        )

    def large(self, row: int, side: int = 128) -> str:
        """Return observation ``row`` as the address of a picture that loses nothing but what is above ``side``."""
        return _address(_file(_shrunk(self.picture(row), side), "PNG"), "png")

    def thumbnails(self, rows: Iterable[int], most: int) -> list[str]:
        """Return the addresses of pictures of ``rows``, all of one size and quality, in at most ``most`` bytes.

        The best setting that fits is taken, or the smallest, even if it does not fit.
        """
        pictures = [self.picture(int(row)) for row in rows]
        for side, quality in SETTINGS:
            options: dict[str, Any] = {"lossless": True} if quality is None else {"quality": quality}
            addresses: list[str] = []
            size = 0
            for picture in pictures:
                addresses.append(_address(_file(_shrunk(picture, side), "WEBP", method=2, **options), "webp"))
                size += len(addresses[-1])
                if size > most and (side, quality) != SETTINGS[-1]:
                    break
            else:
                break
        return addresses


def _layers(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """Return layers (height, width, n) in colours, the later above, on black."""
    colours = np.array([[0, 0, 0], *map(rgb, OKABE_ITO)], np.uint8)
    count = frame.shape[-1]
    top = np.where(frame != 0, np.arange(1, count + 1), 0).max(axis=-1)
    shown: NDArray[np.uint8] = colours[np.where(top > 0, (top - 1) % len(OKABE_ITO) + 1, 0)]
    return shown


def rgb(colour: str) -> Colour:
    """Return a colour #rrggbb as three bytes."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def _shrunk(picture: Image.Image, side: int) -> Image.Image:
    """Return ``picture``, made smaller where it is longer than ``side``."""
    if max(picture.size) > side:
        picture = picture.copy()
        picture.thumbnail((side, side), Image.Resampling.BOX)
    return picture


def _file(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _address(file: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(file).decode()}"


def shown_numbers(value: Any) -> str:
    """Return the first numbers of an array."""
    flat = np.asarray(value).ravel()
    shown = ", ".join(f"{number:.4g}" for number in flat[:NUMBERS].tolist())
    return shown if len(flat) <= NUMBERS else f"{shown}, … ({len(flat)} numbers)"
