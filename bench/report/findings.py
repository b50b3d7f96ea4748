"""Findings of an audit as lines for people or JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from bench.data_audit import Finding

SHOWN = 12
"""Details that are shown of one finding; JSON holds them all."""


def lines(finding: Finding) -> Iterator[str]:
    """Yield the finding's line and the first of its details, for a person."""
    yield f"{finding.level:<8} {finding.check:<16} {finding.text}"
    yield from (f"{'':<25} - {detail}" for detail in finding.details[:SHOWN])
    if len(finding.details) > SHOWN:
        rest = len(finding.details) - SHOWN
        yield f"{'':<25} ... and {rest} more (--format json names all)"


def summary(findings: Sequence[Finding]) -> str:
    """Count the findings of each level."""
    counts = Counter(finding.level for finding in findings)
    return ", ".join(f"{counts[level]} {level}" for level in counts)


def as_json(dataset: str, findings: Sequence[Finding]) -> str:
    """Write everything, for programs."""
    content = {"dataset": dataset, "findings": [asdict(finding) for finding in findings]}
    return json.dumps(content, indent=1)
