"""`data`: look after a dataset's frames and labels."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as opt

if TYPE_CHECKING:
    from bench.study import Study

app = typer.Typer(help="Look after a dataset's frames and labels.", no_args_is_help=True)

Size = Annotated[int, typer.Option(min=8, help="Side of the stored crop, pixels.")]
Landmarks = Annotated[
    Path | None,
    typer.Option(help="Face file (CSV): the same as --set DATASET.landmarks=FILE."),
]


@app.command()
def prepare(
    dataset: opt.Dataset = "synthetic",
    root: opt.Root = None,
    landmarks: Landmarks = None,
    size: Size = 224,
    settings: opt.Settings = None,
    cache: opt.Cache = opt.CACHE,
    workers: opt.Workers = 0,
    plugins: opt.Plugins = None,
) -> None:
    """Decode, crop and store a dataset's frames ahead of a run; names all that is left out.

    Only what is new or has changed is decoded, and what could not be read is tried again. Stop it
    whenever you like: the same command goes on.
    """
    from bench.environment import cpu_count

    from ._display import stderr
    from ._grid import open_study_data

    study = _study(dataset, root, landmarks, size, settings, cache, plugins)
    began = time.monotonic()
    with _kill_like_ctrl_c():
        data = open_study_data(study, stderr(), workers or cpu_count(), named=None, retry=True)
    seconds, store = time.monotonic() - began, data.store
    kept = len(store.images) - store.left_out
    typer.echo(
        f"{dataset}: {len(store.sequences)} sequences, {kept:,} frames of {size} px "
        f"({store.crop}), {store.images.nbytes / 1e9:,.2f} GB in {store.path}, "
        f"content {store.content_hash[:12]}"
    )
    rate = f": {store.decoded / seconds:,.0f} frames/s" if store.decoded else ""
    typer.echo(
        f"decoded {store.decoded:,} frames in {seconds:,.1f} s{rate}; "
        f"{len(store.images) - store.decoded:,} were there; {store.left_out:,} cannot be read"
    )


def _study(
    dataset: str,
    root: Path | None,
    landmarks: Path | None,
    size: int,
    settings: list[str] | None,
    cache: Path,
    plugins: list[Path] | None,
) -> Study:
    from bench.study import make_study

    knobs = [f"data.size={size}", *(settings or [])]
    if landmarks is not None:
        knobs.append(f"{dataset}.landmarks={landmarks}")
    return make_study(dataset=dataset, root=root, knobs=knobs, cache=cache, plugins=plugins or [])


@contextmanager
def _kill_like_ctrl_c() -> Iterator[None]:
    """Let a plain `kill`, a batch system's say, end the work as Ctrl-C does: with a sentence."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
