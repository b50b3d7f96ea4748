"""`plot`: figures of the records, and of what a label budget keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import _options as opt

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bench.report.plots.timeline import Faces
    from bench.results.records import Record
    from bench.study.study import Study


def command(
    kind: Annotated[
        str,
        typer.Argument(
            help="curves, ranks, heat-map, subjects, cost, calibration, co-occurrence, timeline, "
            "training, pseudo-labels or sampling."
        ),
    ] = "curves",
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Only records of cells on this dataset; of `sampling`: whose labels (default: "
            "synthetic)."
        ),
    ] = None,
    root: opt.Root = None,
    landmarks: opt.Landmarks = None,
    methods: Annotated[
        str, typer.Option(help="Of records: only these methods, comma-separated.")
    ] = "",
    ratios: Annotated[
        str, typer.Option(help=f"Only these label ratios; of `sampling`: {opt.RATIOS}.")
    ] = "",
    variants: Annotated[
        bool, typer.Option("--variants", help="Draw variants (ks:no_skd) beside the methods.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Of `curves`: the paper's points too.")
    ] = False,
    seeds: Annotated[str, typer.Option(help="Of `sampling`: seeds, averaged; none = 0,1,2.")] = "",
    metric: Annotated[
        str, typer.Option(help="Of `curves`, `ranks`, `heat-map`, `cost`: as in `table`, e.g. auc.")
    ] = "f1",
    select: Annotated[str, typer.Option(help="last, val or test-peek.")] = "last",
    au: Annotated[int | None, typer.Option(help="Of `timeline`: which action unit.")] = None,
    sequence: Annotated[str, typer.Option(help="Of `timeline`: SUBJECT/TASK.")] = "",
    pseudo_labels: Annotated[
        bool,
        typer.Option(
            "--pseudo-labels",
            help="Of `timeline`: a training sequence, and what methods said of it last.",
        ),
    ] = False,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="Of `timeline`: from which on it is sure.")
    ] = 0.95,
    faces: Annotated[
        bool, typer.Option("--faces", help="Of `timeline`: a strip of the sequence's faces.")
    ] = False,
    cache: opt.Cache = opt.CACHE,
    style: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: RESULTS/plots.")
    ] = None,
    only: opt.Only = None,
    latest: opt.Latest = False,
    settings: opt.SetOption = None,
    results: opt.Results = opt.RESULTS,
    plugins: opt.Plugins = None,
) -> None:
    """Draw a figure for each dataset, rule and preset among the records; prints the files' names.

    `curves`: F1 by share of labels. `ranks`: mean ranks, and which methods they tell apart.
    `heat-map`: F1 by action unit. `subjects`: F1 by test subject. `cost`: F1 by labels and seconds.
    `calibration`: probabilities told and true. `co-occurrence`: correlations of action units, true
    and learnt. `timeline`: what the networks are sure of in one sequence. `training`: losses.
    `pseudo-labels`: how many were used and right. `sampling`: the AU combinations and the F1 that
    key-frame rules keep, from a dataset's labels and the records.
    """
    from bench.errors import pick
    from bench.report.metric import Scoring, find_metric
    from bench.report.plots.kinds import FigureOptions, figures
    from bench.report.plots.style import SUFFIXES
    from bench.report.plots.timeline import TimelineOptions
    from bench.results.records import read_records
    from bench.results.selection import choose, without_variants

    pick("format", style, dict.fromkeys(SUFFIXES))
    _check_kind(kind, seeds, published, au, sequence, pseudo_labels, faces)
    records, problems = read_records(results)
    for problem in problems:
        typer.echo(f"note: {problem}", err=True)
    notes: list[str] = []
    if kind == "sampling":
        study = opt.study_of(
            dataset or "synthetic", root, landmarks, None, settings, opt.CACHE, plugins
        )
        found = _sampling(study, ratios, seeds, records)
    else:
        named = {"dataset": dataset} if dataset else {}
        wanted, shares = opt.split_commas(methods), opt.label_ratios(ratios)
        chosen, notes = choose(records, results, named, wanted, shares, only or [], newest=latest)
        chosen = chosen if variants or methods else without_variants(chosen)
        crops = _faces(chosen, root, cache, plugins) if faces else None
        options = FigureOptions(
            scoring=Scoring(select, find_metric(metric), results),
            published=published,
            results=results,
            notes=notes,
            timeline=TimelineOptions(
                au=au, sequence=sequence, confidence=confidence, faces=crops, training=pseudo_labels
            ),
        )
        found = figures(kind, chosen, options)
    _write(found, notes, out or results / "plots", style)


_KIND_OF = {
    "--seeds": "sampling",
    "--published": "curves",
    "--au": "timeline",
    "--sequence": "timeline",
    "--pseudo-labels": "timeline",
    "--faces": "timeline",
}
"""Options that one kind of figure has alone."""


def _check_kind(kind: str, *given: object) -> None:
    """Raise UsageError for a kind that is none, or an option that says nothing about it.

    `given` are the values of `_KIND_OF`'s options, in its order.
    """
    from bench.errors import UsageError, pick
    from bench.report.plots.kinds import KINDS

    pick("plot", kind, dict.fromkeys(("sampling", *KINDS)))

    for (option, own), value in zip(_KIND_OF.items(), given, strict=True):
        if value and kind != own:
            raise UsageError(f"{option} is of `plot {own}`: leave it out of `plot {kind}`")


def _write(
    figures: Iterable[tuple[str, Figure]], notes: Sequence[str], folder: Path, style: str
) -> None:
    """Draw and save the figures, then tell the notes that they left."""
    from bench.report.plots.style import save

    for name, made in figures:
        path = folder / f"{name}.{style}"
        save(made, path)
        typer.echo(str(path))
    for note in dict.fromkeys(notes):
        typer.echo(f"note: {note}", err=True)


def _sampling(
    study: Study, ratios: str, seeds: str, records: Sequence[Record]
) -> Iterator[tuple[str, Figure]]:
    from bench.data.label_budget import label_budgets
    from bench.report.plots.sampling import sampling_figures

    shares = opt.label_ratios(ratios or opt.RATIOS)
    draws = opt.whole_numbers("--seeds", seeds or "0,1,2")
    dataset = study.context.dataset
    _, recordings = dataset.read_labels()
    kept = label_budgets(dataset.name, recordings, shares, seeds=draws)
    return sampling_figures(dataset.name, kept, records)


def _faces(
    records: Sequence[Record], root: Path | None, cache: Path, plugins: list[Path] | None
) -> Faces:
    """Open the frame store that the records were made from, and hand out its crops."""
    from bench.config.registry import Registry
    from bench.config.settings import DataConfig
    from bench.data.dataset import DatasetSpec
    from bench.errors import UsageError

    done = next((record for record in records if record.status == "done"), None)
    if done is None:
        raise UsageError("no record is done: there is no sequence to show faces of")
    knobs = {key: str(value) for key, value in done.config.get("dataset", {}).items()}
    spec = DatasetSpec(
        done.cell["dataset"], root, tuple(sorted(knobs.items())), Registry(tuple(plugins or []))
    )
    data = done.config["data"]
    store = spec.open(DataConfig(size=data["size"], crop=data["crop"]), cache).store
    found = {(s.subject, s.task): s for s in store.sequences}

    def crops(subject: str, task: str, frames: NDArray[np.int64]) -> Sequence[NDArray[np.uint8]]:
        recording = found.get((subject, task))
        if recording is None:
            return []
        places = {int(frame): at for at, frame in enumerate(recording.frames)}
        return [store.images[recording.start + places[int(f)]] for f in frames if int(f) in places]

    return crops
