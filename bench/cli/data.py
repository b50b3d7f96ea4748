"""`data`: look after a dataset's frames."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from . import _options as opt

app = typer.Typer(help="Look after a dataset's frames.", no_args_is_help=True)


@app.command()
def prepare(
    dataset: opt.Dataset = "synthetic",
    root: opt.Root = None,
    size: Annotated[int, typer.Option(min=8, help="Side of the stored crop, pixels.")] = 224,
    settings: opt.Settings = None,
    cache: opt.Cache = opt.CACHE,
    workers: opt.Workers = 0,
    plugins: opt.Plugins = None,
) -> None:
    """Decode, crop and store a dataset's frames ahead of a run; names all that is left out.

    What is stored already is not decoded again; stop it whenever you like.
    """
    from bench.environment import cpu_count
    from bench.study import make_study

    from ._display import stderr
    from ._grid import open_study_data

    knobs = [f"data.size={size}", *(settings or [])]
    study = make_study(dataset=dataset, root=root, knobs=knobs, cache=cache, plugins=plugins or [])
    began = time.monotonic()
    data = open_study_data(study, stderr(), workers or cpu_count(), named=None)
    seconds = time.monotonic() - began
    frames = sum(len(s.frames) for s in data.store.sequences)
    typer.echo(
        f"{dataset}: {len(data.store.sequences)} sequences, {frames} frames of {size} px "
        f"({data.store.crop}), content {data.store.content_hash[:12]}; "
        f"{seconds:.1f} s, {frames / max(seconds, 1e-9):,.0f} frames/s"
    )
