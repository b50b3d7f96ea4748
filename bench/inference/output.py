"""Predictions as files: CSV in OpenFace's form, parquet, JSON lines; used by `predict`.

A row is a face on a frame: `frame, timestamp, face_id, confidence, success`, then `AU01_c` (1 where
the probability is 0.5 or more) and `AU01_p` (the probability) of each AU. Rows without success
have neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import UsageError
from bench.metrics import THRESHOLD
from bench.system.files import atomic_file

from .prediction import FacePrediction


def prediction_table(aus: Sequence[int], faces: Sequence[FacePrediction]) -> pd.DataFrame:
    """Return the rows of one recording's faces, by frame and face."""
    parts = [_face_table(aus, face) for face in faces]
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values(["frame", "face_id"], kind="stable", ignore_index=True)


def _face_table(aus: Sequence[int], face: FacePrediction) -> pd.DataFrame:
    present = pd.DataFrame(
        np.where(np.isnan(face.probabilities), np.nan, face.probabilities >= THRESHOLD),
        columns=[f"AU{au:02d}_c" for au in aus],
    )
    shares = pd.DataFrame(
        face.probabilities.astype(np.float64).round(4), columns=[f"AU{au:02d}_p" for au in aus]
    )
    about = pd.DataFrame(
        {
            "frame": face.frames,
            "timestamp": face.times.round(4),
            "face_id": face.face,
            "confidence": face.confidence.astype(np.float64).round(3),
            "success": face.success.astype(np.int64),
        }
    )
    return pd.concat([about, present.astype("Int64"), shares], axis=1)


def write_csv(folder: Path, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
    """Write a CSV file a recording, as OpenFace does."""
    paths = []
    for name, table in tables.items():
        paths.append(folder / f"{name}.csv")
        with atomic_file(paths[-1]) as stream:
            table.to_csv(stream, index=False)
    return paths


def write_parquet(folder: Path, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
    """Write one parquet file with a column `recording`; UsageError where the extra is missing."""
    try:
        with atomic_file(folder / "predictions.parquet", "wb") as stream:
            _all(tables).to_parquet(stream, index=False)
    except ImportError:
        raise UsageError(
            "--format parquet needs the extra `parquet`: pip install pyarrow"
        ) from None
    return [folder / "predictions.parquet"]


def write_jsonl(folder: Path, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
    """Write one file of JSON lines, a face on a frame each; gaps are null."""
    with atomic_file(folder / "predictions.jsonl") as stream:
        _all(tables).to_json(stream, orient="records", lines=True)
    return [folder / "predictions.jsonl"]


def _all(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    named = [table.assign(recording=name) for name, table in tables.items()]
    whole = pd.concat(named, ignore_index=True)
    return whole[["recording", *(name for name in whole if name != "recording")]]


WRITERS: Mapping[str, Callable[[Path, Mapping[str, pd.DataFrame]], list[Path]]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "jsonl": write_jsonl,
}


def write_about(folder: Path, about: Mapping[str, Any]) -> Path:
    """Write what made the predictions: networks, source, code, command."""
    with atomic_file(folder / "about.json") as stream:
        json.dump(about, stream, indent=1)
    return folder / "about.json"
