"""What `predict` does: find faces, predict, write tables, figures, the film.

Apart from `predict.py`, whose options must be there before torch is imported.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import typer
from rich.console import Console

from bench.config.registry import Registry
from bench.data.dataset import DatasetSpec
from bench.errors import UsageError
from bench.inference.faces import faces_from_file, write_face_file
from bench.inference.films import (
    Steps,
    drawn_faces,
    predict_dataset,
    predict_recordings,
    score_dataset,
)
from bench.inference.network import Network, load_networks
from bench.inference.output import WRITERS, prediction_table, write_about
from bench.inference.prediction import FacePrediction
from bench.inference.recordings import Face, Recording, find_recordings
from bench.report.plots.predictions import timeline_figure
from bench.report.plots.style import save
from bench.results.transfer import write_transfer
from bench.system.environment import commit, cpu_count, pick_device, versions

from . import _options as opt
from ._console import FrameBar, stderr_console
from ._predict_options import PredictOptions, check

TIMELINES = 20
"""Recordings up to which each gets a figure: thousands would be looked at by nobody."""


def predict(asked: PredictOptions) -> None:
    """Carry out a `predict`; raises UsageError before anything is decoded where that can be."""
    check(asked)
    console, device = stderr_console(), pick_device(asked.device)
    if device.type == "cpu":
        torch.set_num_threads(cpu_count())
    networks = load_networks(asked.results, asked.cells, device, Registry(asked.plugins))
    if asked.score:
        _score(asked, networks, console)
        return
    began = time.monotonic()
    recordings: list[Recording] = []
    if asked.dataset:
        spec = _spec(asked)
        with _steps(asked, console) as steps:
            found = predict_dataset(networks, spec, steps)
    else:
        recordings = _recordings(asked, console)
        found = _predict_source(asked, networks, recordings, console)
    _write(asked, networks, found)
    write_about(asked.folder, _about(asked, networks, recordings))
    _summarise(found, time.monotonic() - began)


def _score(asked: PredictOptions, networks: Sequence[Network], console: Console) -> None:
    """Score on another dataset, into a record of its own."""
    with _steps(asked, console) as steps:
        record = score_dataset(networks, _spec(asked), steps, _command())
        for warning in record.warnings:
            steps.note(warning)  # those of the frame store are said already, and not said again
    path = write_transfer(asked.results, record, overwrite=asked.overwrite)
    own, names = record.cell["dataset"], ", ".join(f"AU{au}" for au in record.aus)
    typer.echo(
        f"trained on {own}, tested on {record.dataset}: F1 {100 * record.scores.mean_f1:.1f} over "
        f"{len(record.aus)} AUs that both code ({names}), {len(record.scores.counts)} subjects, "
        f"{record.frames:,} frames\n{path}"
    )


def _command() -> str:
    return shlex.join(["python", "-m", "bench", *sys.argv[1:]])


def _spec(asked: PredictOptions) -> DatasetSpec:
    study = opt.study_of(
        str(asked.dataset),
        asked.root,
        asked.landmarks,
        None,
        list(asked.settings),
        asked.cache,
        list(asked.plugins),
    )
    return study.context.dataset


@contextmanager
def _steps(asked: PredictOptions, console: Console) -> Iterator[Steps]:
    bars = [FrameBar(console, f"{doing} frames") for doing in ("decoding", "predicting")]
    noted: set[str] = set()

    def note(sentence: str) -> None:
        if sentence not in noted:
            console.print(f"note: {sentence}", markup=False)
        noted.add(sentence)

    try:
        yield Steps(
            cache=asked.cache,
            workers=asked.workers or cpu_count(),
            decoding=bars[0],
            predicting=bars[1],
            note=note,
        )
    except KeyboardInterrupt:
        console.print("stopped: nothing was written")
        raise SystemExit(130) from None
    finally:
        for bar in bars:
            bar.close()


def _recordings(asked: PredictOptions, console: Console) -> list[Recording]:
    assert asked.source
    recordings = find_recordings(
        asked.source,
        fps=asked.fps,
        stills=asked.stills,
        note=lambda sentence: console.print(f"note: {sentence}", markup=False),
    )
    if asked.video and len(recordings) != 1:
        raise UsageError(f"--video draws one film: {asked.source} holds {len(recordings)}")
    return recordings


def _predict_source(
    asked: PredictOptions,
    networks: Sequence[Network],
    recordings: Sequence[Recording],
    console: Console,
) -> list[FacePrediction]:
    faces = _faces(asked, recordings, console)
    with _steps(asked, console) as steps:
        found = predict_recordings(networks, recordings, faces, steps)
    if asked.detect and faces:
        write_face_file(asked.folder / "detected-faces.csv", recordings, faces)
    if asked.video:
        _draw(asked.video, recordings[0], faces, networks[0], found, console)
    return found


def _faces(
    asked: PredictOptions, recordings: Sequence[Recording], console: Console
) -> Mapping[str, list[Face]] | None:
    if asked.landmarks:
        return _faces_from_file(asked.landmarks, asked.landmarks_offset, recordings, console)
    if not asked.detect:
        return None
    faces = _detected(recordings, all_of_them=asked.faces == "all", console=console)
    if not any(faces.values()):
        raise UsageError(
            f"no face was found in {asked.source}: give their places by --landmarks FILE, or leave "
            "out --detect if the face fills the picture"
        )
    for name in (name for name, found in faces.items() if not found):
        console.print(f"note: {name}: no face was found in it", markup=False)
    return faces


def _faces_from_file(
    path: Path, offset: int, recordings: Sequence[Recording], console: Console
) -> dict[str, list[Face]]:
    faces = faces_from_file(path, recordings, offset)
    lacking = [name for name, found in faces.items() if not found]
    if lacking:
        some = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        what = f"no row is about {len(lacking)} of {len(faces)} recordings ({some}): all gap"
        console.print(f"note: --landmarks {path}: {what}", markup=False)
    return faces


def _detected(
    recordings: Sequence[Recording], *, all_of_them: bool, console: Console
) -> dict[str, list[Face]]:
    from bench.inference.detect import Detector, detect_faces

    detector, faces, done = Detector(), {}, 0
    total = sum(len(recording.frames) for recording in recordings)
    bar = FrameBar(console, "looking for faces")
    try:
        for recording in recordings:
            tick = _from(bar, done, total)
            faces[recording.name] = detect_faces(recording, detector, tick, all_of_them=all_of_them)
            done += len(recording.frames)
        bar(total, total)
    finally:
        bar.close()
    return faces


def _from(bar: FrameBar, before: int, total: int) -> Callable[[int], None]:
    return lambda done: bar(before + done, total)


def _draw(
    path: Path,
    recording: Recording,
    faces: Mapping[str, list[Face]] | None,
    network: Network,
    found: Sequence[FacePrediction],
    console: Console,
) -> None:
    from bench.inference.film import write_film

    drawn = drawn_faces(recording, faces, found, network.description.crop)
    bar = FrameBar(console, "drawing frames")
    try:
        write_film(path, recording, network.aus, drawn, bar)
    finally:
        bar.close()
    typer.echo(str(path))


def _write(
    asked: PredictOptions, networks: Sequence[Network], found: Sequence[FacePrediction]
) -> None:
    folder, aus = asked.folder, networks[0].aus
    names = dict.fromkeys(p.recording for p in found)
    tables = {
        name: prediction_table(aus, [p for p in found if p.recording == name]) for name in names
    }
    for style in asked.formats:
        for path in WRITERS[style](folder, tables):
            typer.echo(str(path))
    if len(names) <= TIMELINES:
        for each in found:
            if each.success.any() and len(each.frames) > 1:
                suffix = f"-face{each.face}" if each.face else ""
                path = folder / f"{each.recording}{suffix}.png"
                title = f"{each.recording}, face {each.face}"
                save(timeline_figure(title, aus, each.times, each.probabilities), path)
                typer.echo(str(path))


def _about(
    asked: PredictOptions, networks: Sequence[Network], recordings: Sequence[Recording]
) -> dict[str, object]:
    return {
        "cells": {n.description.id: n.description.final_weights for n in networks},
        "source": str(asked.source or asked.dataset),
        "recordings": {recording.name: str(recording.path) for recording in recordings},
        "command": _command(),
        "commit": commit(),
        "versions": versions(),
    }


def _summarise(found: Sequence[FacePrediction], seconds: float) -> None:
    frames = sum(len(p.frames) for p in found)
    length = sum(float(p.times[-1]) for p in {p.recording: p for p in found}.values())
    speed = f", {length / seconds:.1f} times as fast as it was filmed" if length else ""
    typer.echo(f"{frames_seen(found)}, {frames / seconds:,.0f} frames/s{speed}")


def frames_seen(found: Sequence[FacePrediction]) -> str:
    """Say on how many frames a face is known, apart from those where none was looked for."""
    parts = []
    for looked_for, what in (
        (True, "frames with a face"),
        (False, "frames predicted, faces not looked for"),
    ):
        group = [p for p in found if p.looked_for is looked_for]
        good, frames = sum(int(p.success.sum()) for p in group), sum(len(p.frames) for p in group)
        parts += [f"{good:,} of {frames:,} {what}"] if frames else []
    return "; ".join(parts)
