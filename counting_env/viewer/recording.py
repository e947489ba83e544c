"""A recording of what a window shows, as an animated GIF."""

from datetime import datetime
from io import BytesIO
from itertools import count, pairwise
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from gymnasium.error import DependencyNotInstalled

if TYPE_CHECKING:
    import pygame
    from PIL.Image import Image

NO_PILLOW = 'A recording needs Pillow: pip install "counting-jepa[play]"'
SIZE = (640, 360)
MOST = 300  # frames, which take up to 70 MB of memory
LONGEST = 5.0  # seconds that a frame is shown


class Recording:
    """What is shown from now on: a frame for each change, which lasts as long as it was seen, up to five seconds.

    Raises:
        gymnasium.error.DependencyNotInstalled: Pillow is not installed.

    Attributes:
        full: whether there are 300 frames, the most that it takes.
    """

    def __init__(self) -> None:
        try:
            import PIL.Image  # noqa: F401  # to say at the start what is missing
        except ImportError as error:
            raise DependencyNotInstalled(NO_PILLOW) from error
        self._frames: list[Image] = []
        self._times: list[float] = []
        self._last = b""

    @property
    def full(self) -> bool:  # noqa: D102  # see the class
        return len(self._frames) == MOST

    def see(self, surface: "pygame.Surface") -> None:
        """Take what ``surface`` shows, if it has changed."""
        import pygame
        from PIL import Image

        pixels = pygame.image.tobytes(pygame.transform.smoothscale(surface, SIZE), "RGB")
        if pixels != self._last and not self.full:
            self._last = pixels
            self._frames.append(Image.frombytes("RGB", SIZE, pixels).quantize())
            self._times.append(monotonic())

    def save(self) -> Path:
        """Write ``counting-YYYYMMDD-HHMMSS.gif`` into the working directory, and return its path.

        Where a file of that name exists, the new one ends in ``-2.gif``, and so on.

        Raises:
            OSError: the file cannot be written; the message names it, and nothing is left of it.
        """
        seconds = [min(later - earlier, LONGEST) for earlier, later in pairwise([*self._times, monotonic()])]
        content = BytesIO()
        self._frames[0].save(
            content,
            format="GIF",
            save_all=True,
            append_images=self._frames[1:],
            duration=[max(20, round(1000 * time)) for time in seconds],  # browsers slow down shorter ones
            loop=0,
        )
        stem = f"counting-{datetime.now():%Y%m%d-%H%M%S}"
        for number in count(1):
            path = Path(f"{stem}-{number}.gif" if number > 1 else f"{stem}.gif")
            try:
                file = path.open("xb")
            except FileExistsError:
                continue
            try:
                with file:
                    file.write(content.getbuffer())
            except OSError as error:
                path.unlink(missing_ok=True)
                raise OSError(error.errno, f"{path} cannot be written ({error.strerror}): make room") from error
            break
        return path
