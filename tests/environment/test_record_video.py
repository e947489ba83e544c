"""Gymnasium's RecordVideo on the environment: the films show what was rendered."""

import subprocess

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RecordVideo
from scipy import ndimage

import counting_env

gym.register_envs(counting_env)

pytest.importorskip("moviepy")
ffmpeg = pytest.importorskip("imageio_ffmpeg")  # what moviepy writes with

EIGHT_NEIGHBOURS = np.ones((3, 3))


def play_and_film(folder, films):
    """Play five episodes and film some; return the pictures rendered and the counts, by episode."""
    env = gym.make("CountingEnv-v0", render_mode="rgb_array")
    env = RecordVideo(env, str(folder), episode_trigger=lambda number: number in films, disable_logger=True)
    pictures, counts = [], []
    for number in range(5):
        _, info = env.reset(seed=number)
        pictures.append([env.render()])
        counts.append([info["count"]])
        over = False
        while not over:
            *_, terminated, truncated, info = env.step(number % 2)
            pictures[-1].append(env.render())
            counts[-1].append(info["count"])
            over = terminated or truncated
    env.close()
    return pictures, counts


def decode(path):
    """Return all frames of a film, (T, 512, 512, 3)."""
    command = [ffmpeg.get_ffmpeg_exe(), "-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    # imageio's own reader leaves its pipes open, which is a warning, and so an error here
    run = subprocess.run([*command, "-"], capture_output=True, check=True)
    assert b", 4 fps" in run.stderr  # as the environment's metadata says
    return np.frombuffer(run.stdout, np.uint8).reshape(-1, 512, 512, 3)


def test_films_show_what_was_rendered(tmp_path):
    """The chosen episodes have a film each, whose frames are the pictures rendered, up to compression."""
    folder = tmp_path / "films"  # Gymnasium warns of a folder that exists
    pictures, counts = play_and_film(folder, films=(0, 3))
    assert sorted(path.name for path in folder.iterdir()) == ["rl-video-episode-0.mp4", "rl-video-episode-3.mp4"]
    for number in (0, 3):
        frames = decode(folder / f"rl-video-episode-{number}.mp4")
        assert len(frames) == len(pictures[number])
        assert np.abs(frames - np.float32(pictures[number])).mean() < 1
        objects = frames.max(axis=-1) > 20  # no colour is darker than 30; compression leaves black nearly black
        assert [ndimage.label(mask, EIGHT_NEIGHBOURS)[1] for mask in objects] == counts[number]
