"""Which records are a study's: by place in the grid, and by knobs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from .knobs import method_config
from .records import Record
from .study import NOT_IDENTITY, Study


def members(study: Study, records: Iterable[Record]) -> list[Record]:
    """Return the records of cells that `study` asks for, on whatever dataset.

    A knob that a record does not tell, being older than the knob, counts as the study's.
    """
    configs = {name: _config(study, name) for name in study.methods}
    return [
        r for r in records if _in_grid(study, r) and _agree(configs[r.cell["method"]], r.config)
    ]


def _in_grid(study: Study, record: Record) -> bool:
    ratios = {float(ratio) for ratio in study.ratios}
    asked = {
        "method": study.methods,
        "ratio": ratios,
        "rule": study.rules,
        "fold": study.folds,
        "seed": study.seeds,
        "preset": {study.preset},
    }
    return all(record.cell[name] in values for name, values in asked.items())


def _config(study: Study, method: str) -> dict[str, Any]:
    """Return the knobs of the study's cells of `method`, as a record tells them."""
    cls = study.registry.method(method.partition(":")[0])
    config = {
        "method": asdict(method_config(cls, method, study.knobs, study.preset)),
        **asdict(study.settings),
    }
    for name in NOT_IDENTITY:
        del config["train"][name]
    plain: dict[str, Any] = json.loads(json.dumps(config))
    return plain


def _agree(asked: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    return all(
        told.get(section, {}).get(knob, value) == value
        for section, knobs in asked.items()
        for knob, value in knobs.items()
    )
