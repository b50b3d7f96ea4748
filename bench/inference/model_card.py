"""Model card: what a trained network is, how well it does, what it is not for; beside an export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from bench.report.model import ReportError
from bench.report.statistics import mean_interval
from bench.results.records import Record
from bench.results.transfer import TransferRecord
from bench.runner.weights import NetworkDescription

NOT_FOR = (
    "decisions about people: hiring, teaching, policing, insurance, border control",
    "diagnosis, or anything else that medicine should decide",
    "telling what somebody feels or whether they lie: action units are movements of the face, and "
    "movements are no feelings",
    "watching people who do not know of it or did not agree",
)
"""What no network of this suite must be used for."""

DRAWN = "synthetic"
"""The dataset whose faces are drawn: what was learnt from it holds for drawn faces."""


def model_card(
    description: NetworkDescription, record: Record, transfers: Sequence[TransferRecord] = ()
) -> str:
    """Write the card of one network, in markdown; figures come from its record alone."""
    parts = [
        f"# {description.id}",
        "\n".join(_what(description, record)),
        "## Data",
        "\n".join(_data(description, record)),
        "## Scores",
        "\n".join(_scores(record)),
        *(["## Other datasets", "\n".join(_transfers(transfers))] if transfers else []),
        "## What it sees",
        "\n".join(_input(description)),
        "## Not for",
        "\n".join(_not_for(description)),
    ]
    return "\n\n".join(parts) + "\n"


def _what(description: NetworkDescription, record: Record) -> Iterator[str]:
    place, trunk = description.cell, description.trunk
    yield (
        f"Tells {len(description.aus)} facial action units "
        f"({', '.join(f'AU{au}' for au in description.aus)}) on cropped faces in video. Trained by "
        f"`{place['method']}` with {trunk.name} (width {trunk.width:g}, first weights "
        f"{trunk.weights}), {record.parameters:,} parameters, preset {place['preset']}, seed "
        f"{place['seed']}."
    )
    environment = record.environment
    yield ""
    yield f"- weights: SHA-256 `{description.final_weights}`"
    yield f"- code: commit {environment.get('commit') or 'unknown'}"
    yield f"- trained on: {environment.get('device', 'unknown device')}"
    yield from (f"- note: {warning}" for warning in record.warnings)


def _data(description: NetworkDescription, record: Record) -> Iterator[str]:
    place, frames = description.cell, record.frames
    yield (
        f"{place['dataset']}, all but the people of fold {place['fold']}. Labels used: "
        f"{frames.get('labelled', 0):,} of {frames.get('train', 0):,} coded frames "
        f"({100 * float(place['ratio']):g} % asked for, rule {place['rule']}, label mask "
        f"`{record.hashes.get('mask', '')[:12]}`); {frames.get('unlabelled', 0):,} more frames "
        "without their labels."
    )
    yield ""
    yield (
        "Weights may fall under the licence of the data that they were trained on. BP4D, DISFA and "
        "their relatives are for research: ask their owners before you pass weights on."
    )


def _scores(record: Record) -> Iterator[str]:
    scores = record.scores["last"]
    people = len(scores.counts)
    yield (
        f"On {people} people who were not trained on ({record.frames.get('test', 0):,} frames), at "
        f"threshold 0.5, after the last step: mean F1 {100 * scores.mean_f1:.1f} %"
        f"{_interval(record)}."
    )
    yield ""
    rows = zip(record.aus, scores.f1, scores.auc, *_baseline(record), strict=True)
    table = [[f"AU{au}", *map(_percent, values)] for au, *values in rows]
    header = ["AU", "F1 (%)", "AUC (%)", "F1 of always seeing it (%)"]
    yield tabulate(table, header, tablefmt="pipe", disable_numparse=True)


def _interval(record: Record) -> str:
    try:
        known = mean_interval([record])
    except ReportError:
        return ""
    if known.interval is None:
        return f" (no interval: {known.reason})"
    low, high = (100 * bound for bound in known.interval)
    return f" (95 % interval for other people: {low:.1f} to {high:.1f})"


def _baseline(record: Record) -> list[list[float | None]]:
    unknown: list[float | None] = [None] * len(record.aus)
    return [record.baselines.get("always_positive", unknown)]


def _percent(share: float | None) -> str:
    return "not coded" if share is None else f"{100 * share:.1f}"


def _transfers(transfers: Sequence[TransferRecord]) -> Iterator[str]:
    for each in transfers:
        yield (
            f"- {each.dataset}: mean F1 {100 * each.scores.mean_f1:.1f} % over the "
            f"{len(each.aus)} AUs that both code, {len(each.scores.counts)} people"
        )


def _input(description: NetworkDescription) -> Iterator[str]:
    clip = description.test_clip_len
    frames = (
        "single frames"
        if clip == 1
        else (f"clips of {clip} frames, every {description.stride} frames, about the middle one")
    )
    yield (
        f"RGB face crops of {description.size} px (crop `{description.crop}`), {frames}. Other "
        "crops, frame rates, cameras, ages, and faces that look away are other data."
    )


def _not_for(description: NetworkDescription) -> Iterator[str]:
    yield from (f"- {use}" for use in NOT_FOR)
    if description.cell["dataset"] == DRAWN:
        yield "- real faces: it was trained on drawn ones, and what it says of others means nothing"
    yield (
        "- people unlike those of its data, unless it was tested on such people: the figures above "
        "are about people like them"
    )
