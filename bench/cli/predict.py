"""`predict`: a trained network on new faces (the work is in `_predict_films.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import _options as opt


def command(
    cell: Annotated[
        str,
        typer.Argument(
            help="A cell's id, or the beginning of one; several by commas or * are averaged."
        ),
    ],
    source: Annotated[
        Path | None, typer.Argument(help="A video, a picture, or a folder of them.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Instead of SOURCE: a dataset's name (`list datasets`).")
    ] = None,
    root: opt.Root = None,
    landmarks: opt.Landmarks = None,
    landmarks_offset: Annotated[
        int, typer.Option(help="Number of a picture minus its frame in the face file.")
    ] = 0,
    detect: Annotated[
        bool, typer.Option("--detect", help="Find the faces (extra `detect`).")
    ] = False,
    faces: Annotated[str, typer.Option(help="Of --detect: largest, or all.")] = "largest",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; none = predictions/NAME.")
    ] = None,
    style: Annotated[
        str, typer.Option("--format", help="csv, parquet, jsonl; several by commas.")
    ] = "csv",
    video: Annotated[
        Path | None, typer.Option(metavar="OUT.mp4", help="Also write the film, drawn on.")
    ] = None,
    fps: Annotated[
        float, typer.Option(min=0.01, help="Pictures a second of a folder of pictures.")
    ] = 25.0,
    stills: Annotated[
        bool, typer.Option("--stills", help="Take every picture of a folder for itself.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    score: Annotated[
        bool, typer.Option("--score", help="With --dataset: score on the AUs that both code.")
    ] = False,
    settings: opt.SetOption = None,
    device: opt.Device = "auto",
    results: opt.Results = opt.RESULTS,
    cache: opt.Cache = opt.CACHE,
    workers: opt.Workers = 0,
    plugins: opt.Plugins = None,
) -> None:
    """Say which action units a trained network sees on video, pictures or a dataset.

    Needs a cell with weights (`run --keep-weights`). Faces come from a file (--landmarks), from
    --detect, or else fill the middle of each picture. Writes a table a recording in OpenFace's
    form, a timeline, and where asked the film with the probabilities drawn on it. With --score, a
    record of how the network does on another dataset (`table transfer`) instead.
    """
    from ._predict_films import predict
    from ._predict_options import PredictOptions

    predict(
        PredictOptions(
            cells=tuple(opt.split_commas(cell)),
            source=source,
            dataset=dataset,
            root=root,
            landmarks=landmarks,
            landmarks_offset=landmarks_offset,
            detect=detect,
            faces=faces,
            out=out,
            formats=tuple(opt.split_commas(style)),
            video=video,
            fps=fps,
            stills=stills,
            overwrite=overwrite,
            score=score,
            settings=tuple(settings or []),
            device=device,
            results=results,
            cache=cache,
            workers=workers,
            plugins=tuple(plugins or []),
        )
    )
