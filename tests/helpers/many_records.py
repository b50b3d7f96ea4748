"""A results folder as large as a few full studies: fabricated, nothing in it was ever trained."""

from __future__ import annotations

from itertools import islice, product
from pathlib import Path

import numpy as np

from bench.metrics import score_fold
from bench.results.records import Record, to_json
from bench.study.code_hash import code_files
from tests.helpers.fake_records import record as fabricated

METHODS = ("supervised", "pseudo_label", "fixmatch", "tcl", "ks", "eac")
RATIOS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
AUS = [1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24]
SUBJECTS, FRAMES = 14, 20
ROOT = Path(__file__).parents[2]


def write_many(results: Path, count: int, variants: int = 20) -> None:
    """Write `count` records of the size that BP4D's have, cells of one grid, without fsync."""
    grid = islice(product(range(10_000), RATIOS, range(3), METHODS), count)
    kinds = [_scored(kind) for kind in range(variants)]
    for number, (seed, ratio, fold, method) in enumerate(grid):
        text = kinds[number % variants]
        name = f"bp4d-{method}-r{ratio:g}-f{fold}-s{seed}-{number:010x}"
        folder = results / "runs" / name
        folder.mkdir(parents=True)
        for old, new in _placed(name, method, ratio, fold, seed).items():
            text = text.replace(old, new)
        (folder / "record.json").write_text(text, encoding="utf-8")


def _placed(name: str, method: str, ratio: float, fold: int, seed: int) -> dict[str, str]:
    return {
        '"the id"': f'"{name}"',
        '"the method"': f'"{method}"',
        '"ratio": 0.123': f'"ratio": {ratio}',
        '"fold": 123': f'"fold": {fold}',
        '"seed": 456': f'"seed": {seed}',
        "the mask": f"mask {ratio} {fold} {seed}",
        "the code": f"code of {method}",
    }


def _scored(kind: int) -> str:
    rng = np.random.default_rng(kind)
    labels = rng.integers(0, 2, (SUBJECTS * FRAMES, len(AUS))).astype(np.int8)
    guesses = rng.random(labels.shape)
    subjects = [f"F{n // FRAMES:03d}" for n in range(len(labels))]
    return to_json(_template(score_fold(labels, guesses, subjects, step=800)))


def _template(last: object) -> Record:
    return fabricated(
        method="the method",
        ratio=0.123,
        fold=123,
        seed=456,
        dataset="bp4d",
        preset="paper",
        id="the id",
        hashes={
            **dict.fromkeys(("data", "folds", "split", "config", "cell"), "0" * 64),
            "mask": "the mask",
            "code": "the code",
        },
        code=code_files(ROOT / "methods" / "ks.py"),
        config={section: dict.fromkeys(map(str, range(9)), 0.5) for section in "abcde"},
        aus=AUS,
        baselines={"always_positive": [0.5] * len(AUS), "training_prior": [0.4] * len(AUS)},
        scores={"last": last},
        seconds={"data": 1.0, "train": 50.0, "evaluate": 2.0, "total": 53.0},
    )
