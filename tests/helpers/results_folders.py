"""Results folders made of fabricated records, for the tests of pages and of what reads folders."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.results.records import Record, to_json

from .fake_records import record, unfinished

METHODS = ("supervised", "fixmatch", "ks", "ks:no_skd")
RATIOS = (0.01, 0.1, 1.0)


def write_records(results: Path, records: Iterable[Record]) -> Path:
    """Write records, each with a short history, as a run leaves them."""
    for each in records:
        folder = results / "runs" / each.id
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(to_json(each), encoding="utf-8")
        rows = [{"step": step, "epoch": 1.0, "lr": 0.01, "au": 1 / step} for step in (20, 40, 60)]
        (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return results


def small_study(methods: Sequence[str] = METHODS, **changes: Any) -> list[Record]:
    """Three folds and two seeds of each method and ratio, but for one run that broke off."""
    records = [
        record(
            method,
            ratio,
            fold=fold,
            seed=seed,
            f1=[round(0.4 + 0.05 * m + 0.04 * r + 0.01 * fold + 0.01 * seed, 2), 0.6],
            audit=AUDIT if method.startswith("ks") else {},
            **changes,
        )
        for (m, method), (r, ratio), fold, seed in itertools.product(
            enumerate(methods), enumerate(RATIOS), (0, 1, 2), (0, 1)
        )
    ]
    broken = unfinished("failed", "out of memory", method=methods[-1], ratio=0.1, **changes)
    return [each for each in records if each.id != broken.id] + [broken]


AUDIT = {
    "used": [0.5, 0.25],
    "accuracy": [0.9, 0.8],
    "majority_accuracy": [0.85, 0.7],
    "balanced_accuracy": [0.7, 0.6],
    "overall_used": 0.4,
    "overall_accuracy": 0.88,
    "overall_majority_accuracy": 0.8,
    "mean_balanced_accuracy": 0.65,
}
