"""The window on the screen: what the viewer and ``render_mode="human"`` share. pygame is imported on first use."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from gymnasium.error import DependencyNotInstalled, Error
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pygame

NO_PYGAME = 'A window needs pygame: pip install "counting-jepa[play]"'
NO_DISPLAY = "A window needs a display, and none was found: run this on a desktop or through ssh -X."
UNSEEN_DRIVERS = ("offscreen", "dummy", "evdev")  # what SDL falls back to, without a word, where there is no display


def open_window(size: tuple[int, int], resizable: bool = False) -> "pygame.Surface":
    """Open a window of ``size`` (width, height) in pixels, which the person may be free to change; return its surface.

    Raises:
        gymnasium.error.DependencyNotInstalled: pygame is not installed.
        gymnasium.error.Error: there is no display, so nobody could see the window. ``SDL_VIDEODRIVER=dummy`` in the
            environment of the process asks for a window that nobody sees.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled(NO_PYGAME) from error
    try:
        with _silent_libraries():
            pygame.display.init()
        if pygame.display.get_driver() in UNSEEN_DRIVERS and "SDL_VIDEODRIVER" not in os.environ:
            pygame.display.quit()
            raise Error(NO_DISPLAY)
        window = pygame.display.set_mode(size, pygame.RESIZABLE if resizable else 0)
    except pygame.error as error:
        raise Error(NO_DISPLAY) from error
    pygame.display.set_caption("CountingEnv")
    return window


def show(picture: NDArray[np.uint8], window: "pygame.Surface | None", fps: int) -> "pygame.Surface":
    """Show ``picture`` (H, W, 3) for one frame in ``window``, and return the window.

    Where there is none, or another environment has closed the one of this process, it is opened first, with the errors
    of :func:`open_window`.
    """
    size = picture.shape[1], picture.shape[0]
    window = window or open_window(size)
    import pygame

    if not pygame.display.get_init():
        window = open_window(size)
    pygame.surfarray.blit_array(window, picture.swapaxes(0, 1))
    pygame.event.pump()
    pygame.display.flip()
    pygame.time.wait(1000 // fps)
    return window


def enlarge(image: NDArray[np.uint8], least: int = 512) -> NDArray[np.uint8]:
    """Repeat each pixel of ``image`` (H, W, 3) so that its height reaches about ``least``, without blur."""
    scale = max(1, least // image.shape[0])
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


@contextlib.contextmanager
def _silent_libraries() -> Iterator[None]:
    """Discard what C libraries write to stderr meanwhile: SDL tries several displays, and each may complain."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
