"""Findings of an audit as a page for people or JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from bench.data_audit import Finding

SHOWN = 12
"""Details that the page shows of one finding; JSON holds them all."""


def page(findings: Sequence[Finding]) -> str:
    """Write a line a finding, its details below it, and how many there are of each level."""
    return "".join(f"{line}\n" for line in _lines(findings))


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{finding.level:<8} {finding.check:<16} {finding.text}"
        yield from (f"{'':<25} - {detail}" for detail in finding.details[:SHOWN])
        if len(finding.details) > SHOWN:
            rest = len(finding.details) - SHOWN
            yield f"{'':<25} ... and {rest} more (--format json names all)"
    yield ""
    counts = Counter(finding.level for finding in findings)
    yield ", ".join(f"{counts[level]} {level}" for level in counts) or "nothing was checked"


def as_json(dataset: str, findings: Sequence[Finding]) -> str:
    """Write everything, for programs."""
    content = {"dataset": dataset, "findings": [asdict(finding) for finding in findings]}
    return json.dumps(content, indent=1)
