"""Reports for other tools: TensorBoard, and Parquet for notebooks, Hugging Face Datasets and Embedding Atlas."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from jepa_extractor.audit.page.rows import class_members, shown_rows
from jepa_extractor.audit.pictures import Pictures
from jepa_extractor.audit.report import Report
from jepa_extractor.audit.words import described
from jepa_extractor.checkpoint import replace_file
from jepa_extractor.checks import as_path, require_integer, require_type

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SIDE = 48  # of a thumbnail, in pixels
ROWS = 5_000  # encoded at once
REPORT = "give what audit(encoder, audit_set) returns"


def to_tensorboard(report: Report, writer: "SummaryWriter | str | Path", step: int = 0) -> None:
    """Write the numbers of a report as scalars, and its latents for TensorBoard's embedding projector.

    Scalars are named ``audit/NAME/...``. The projector gets up to 5,000 observations, drawn at random if there are
    more, with their thumbnails, labels, episodes and steps. It needs ``tensorboard``, of the extra ``examples``.

    Args:
        report: the report.
        writer: a ``SummaryWriter`` of PyTorch, which is left open, or the path of a folder.
        step: environment steps at which the model was audited.

    Raises:
        ValueError: an argument has the wrong type.
        OSError: the folder cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter

    require_type("report", report, Report, REPORT)
    require_integer("step", step, least=0)
    folder = writer.log_dir if isinstance(writer, SummaryWriter) else as_path("writer", writer)
    try:
        with nullcontext(writer) if isinstance(writer, SummaryWriter) else SummaryWriter(str(folder)) as opened:
            _log(report, opened, step)
    except OSError as error:
        raise OSError(
            error.errno, f"{folder} cannot be written ({error.strerror or error}): make room, or give another folder"
        ) from error


def _log(report: Report, writer: "SummaryWriter", step: int) -> None:
    for name, value in report.numbers().items():
        writer.add_scalar(f"audit/{report.name}/{name}", value, step)
    rows = shown_rows(len(report.latents))
    columns = _columns(report)
    names = ["observation", *columns, "text"]
    said = [described(report.audit_set, row) for row in rows]
    lines = [
        [str(row), *(str(column[row]) for column in columns.values()), text]
        for row, text in zip(rows, said, strict=True)
    ]
    pictures = Pictures(report.audit_set.observations)
    images = None
    if pictures.can_draw:
        frames = (pictures.picture(row).convert("RGB").resize((SIDE, SIDE)) for row in rows)
        images = torch.from_numpy(np.stack([np.asarray(frame) for frame in frames])).permute(0, 3, 1, 2) / 255
    writer.add_embedding(report.latents[rows], lines, images, global_step=step, tag=report.name, metadata_header=names)
    writer.flush()


def to_parquet(report: Report, path: str | Path) -> None:
    """Write each observation of a report as a row of a Parquet file, whole or not at all.

    Columns: ``observation``, its number; ``latent``, a list of D float32; each label; ``episode``, ``step``, ``reward``
    (of arriving), ``hits`` (share of its neighbours that must be apart) and, where known, ``class``; ``text``, all this
    in words; and ``image``, a PNG file as the struct {bytes, path} that Hugging Face Datasets and Embedding Atlas show
    as a picture, where observations can be drawn. It needs ``pyarrow``, of the extra ``report``.

    Args:
        report: the report.
        path: of the file.

    Raises:
        ValueError: ``report`` is no report, or ``path`` no path.
        OSError: ``path`` cannot be written.
    """
    require_type("report", report, Report, REPORT)
    import pyarrow as pa
    from pyarrow import parquet

    count, width = report.latents.shape
    columns = _columns(report)
    pictures = Pictures(report.audit_set.observations)
    fields = [pa.field("observation", pa.int64()), pa.field("latent", pa.list_(pa.float32(), width))]
    fields += [pa.field(name, pa.from_numpy_dtype(column.dtype)) for name, column in columns.items()]
    fields.append(pa.field("text", pa.string()))
    if pictures.can_draw:
        fields.append(pa.field("image", pa.struct({"bytes": pa.binary(), "path": pa.string()})))
    features = {"info": {"features": {"image": {"_type": "Image"}} if pictures.can_draw else {}}}
    schema = pa.schema(fields, {"huggingface": json.dumps(features)})

    def rows(begin: int) -> Any:
        """Return the rows from ``begin`` on."""
        chosen = range(begin, min(begin + ROWS, count))
        part = slice(begin, begin + ROWS)
        latents = pa.FixedSizeListArray.from_arrays(report.latents[part].ravel(), width)
        arrays = [pa.array(chosen, pa.int64()), latents, *(pa.array(column[part]) for column in columns.values())]
        arrays.append(pa.array([described(report.audit_set, row) for row in chosen]))
        if pictures.can_draw:
            images = [{"bytes": pictures.png(row), "path": f"{row}.png"} for row in chosen]
            arrays.append(pa.array(images, schema.field("image").type))
        return pa.table(arrays, schema=schema)

    def write(unfinished: Path) -> None:
        with parquet.ParquetWriter(unfinished, schema) as file:
            for begin in range(0, count, ROWS):
                file.write_table(rows(begin))

    replace_file(path, write)


def _columns(report: Report) -> dict[str, Any]:
    """Return the numbers of each observation by name, (N,) each."""
    data = report.audit_set
    columns = {name: np.asarray(values) for name, values in data.labels.items()}
    columns |= {"episode": data.episodes, "step": data.steps, "reward": data.rewards, "hits": report.hits}
    if report.classes is not None:
        names, members = report.classes.classes.astype(np.float64), class_members(report)
        columns["class"] = np.where(members < 0, np.nan, names[members])
    return columns
