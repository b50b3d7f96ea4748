"""`export`: a trained network as a file for others, with a model card beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import _options as opt


def command(
    cell: Annotated[str, typer.Argument(help="A cell's id, or the beginning of one.")],
    onnx: Annotated[
        Path | None, typer.Option(metavar="FILE.onnx", help="Write an ONNX graph (extra `onnx`).")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE.safetensors", help="Write the weights.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    results: opt.Results = opt.RESULTS,
    plugins: opt.Plugins = None,
) -> None:
    """Write a trained network as a file, and a model card beside it (FILE.md).

    Needs a cell with weights (`run --keep-weights`). An ONNX graph takes clips of face crops and
    gives probabilities; it is checked against torch on 100 frames before it is written.
    """
    from ._export_network import export

    export(cell, onnx, weights, results, tuple(plugins or []), overwrite=overwrite)
