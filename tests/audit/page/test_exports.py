"""What other tools read of a report."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from jepa_extractor.audit import AuditSet, to_parquet, to_tensorboard
from jepa_extractor.audit.report import audit_latents
from jepa_extractor.data.episodes import Episode


@pytest.fixture(scope="module")
def vectors():
    """A report of observations that cannot be drawn."""
    rng = np.random.default_rng(0)
    episodes = [
        Episode(rng.normal(size=(5, 3)), rng.integers(2, size=4), np.float32([0, 1, 0, 1]), True) for _ in range(20)
    ]
    data = AuditSet.from_episodes(episodes, 2)
    return audit_latents(data.observations.astype(np.float32), data, "vectors")


def test_parquet_holds_every_observation(merged, tmp_path):
    """Latents, labels, episodes, steps, rewards, hits and classes are those of the report."""
    path = tmp_path / "out" / "audit.parquet"
    to_parquet(merged, path)
    table = pyarrow.parquet.read_table(path)
    data = merged.audit_set
    assert table.num_rows == len(data)
    np.testing.assert_array_equal(np.array(table["latent"].to_pylist(), np.float32), merged.latents)
    for name, values in {
        "observation": np.arange(len(data)),
        "count": data.labels["count"],
        "episode": data.episodes,
        "step": data.steps,
        "reward": data.rewards,
        "hits": merged.hits,
        "class": data.labels["count"],
    }.items():
        np.testing.assert_array_equal(table[name].to_numpy(), values)
    assert table["text"][0].as_py() == f"count {data.labels['count'][0]:.0f}, episode 0, step 0"


def test_parquet_holds_images_as_hugging_face_reads_them(merged, tmp_path):
    """The struct {bytes, path} with PNG files that lose nothing, and the metadata that says so."""
    to_parquet(merged, tmp_path / "audit.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "audit.parquet")
    assert str(table.schema.field("image").type) == "struct<bytes: binary, path: string>"
    image = table["image"][7].as_py()
    shown = np.asarray(Image.open(io.BytesIO(image["bytes"])))
    np.testing.assert_array_equal(shown, np.moveaxis(merged.audit_set.observations[7], 0, -1))
    assert image["path"] == "7.png"
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}}


def test_parquet_without_images(vectors, tmp_path):
    """Where observations cannot be drawn there is no such column; where there are no classes, none either."""
    to_parquet(vectors, tmp_path / "audit.parquet")
    names = pyarrow.parquet.read_schema(tmp_path / "audit.parquet").names
    assert names == ["observation", "latent", "episode", "step", "reward", "hits", "text"]


def test_tensorboard_has_the_numbers_and_the_projector(merged, tmp_path):
    """Each number is a scalar; the projector has latents, labels and thumbnails of the same observations."""
    to_tensorboard(merged, tmp_path, step=300)
    events = EventAccumulator(str(tmp_path)).Reload()
    for name, value in merged.numbers().items():
        (scalar,) = events.Scalars(f"audit/merged/{name}")
        assert scalar.step == 300
        assert scalar.value == pytest.approx(value, rel=1e-5)
    (folder,) = [path.parent for path in tmp_path.rglob("tensors.tsv")]
    np.testing.assert_allclose(np.loadtxt(folder / "tensors.tsv"), merged.latents, rtol=1e-5)
    header, *lines = (folder / "metadata.tsv").read_text().splitlines()
    assert header.split("\t") == ["observation", "count", "episode", "step", "reward", "hits", "class", "text"]
    assert len(lines) == len(merged.latents)
    assert lines[5].split("\t")[1] == str(merged.audit_set.labels["count"][5])
    side = 48 * int(np.ceil(np.sqrt(len(lines))))
    with Image.open(folder / "sprite.png") as sprite:
        assert sprite.size == (side, side)
    assert "sprite.png" in (tmp_path / "projector_config.pbtxt").read_text()


def test_tensorboard_takes_a_writer_and_leaves_it_open(vectors, tmp_path):
    """The writer of a training can be used, also for what cannot be drawn."""
    with SummaryWriter(str(tmp_path)) as writer:
        to_tensorboard(vectors, writer)
        writer.add_scalar("after", 1.0, 1)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Scalars("after")[0].value == 1.0
    assert not list(tmp_path.rglob("sprite.png"))


def test_a_file_that_cannot_be_written_is_an_error(vectors, tmp_path):
    """Nothing half-written is left."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        to_parquet(vectors, Path(tmp_path / "file" / "audit.parquet"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
