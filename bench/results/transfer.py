"""Transfer records: how cells trained on one dataset score on another; torch-free, for all readers.

They lie in `RESULTS/transfer/`, apart from the cells' own records, and no table mixes the two.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.system.files import RecordError, atomic_file, cannot_read

from .records import Scores

KIND = "transfer"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class TransferRecord:
    """Scores of one network, or of the mean of several, on people of another dataset."""

    id: str
    cells: dict[str, str]
    """Ids of the cells whose networks were asked -> hashes of their trained weights."""
    cell: dict[str, Any]
    """Place of the first cell in its grid, as its record keeps it."""
    versions: dict[str, str]
    """Of the first cell: hashes of its `config` and `code`; other ones are other methods."""
    trained_aus: list[int]
    """All AUs that the network tells."""
    dataset: str
    """Where it was tested."""
    hashes: dict[str, str]
    """`data`: of the tested frames and labels."""
    aus: list[int]
    """The AUs that both datasets code, in the network's order; all lists go by it."""
    scores: Scores
    """With the counts of every subject."""
    always_positive: list[float | None]
    """F1 per AU of seeing it on every frame, on the same labels."""
    frames: int
    """Coded frames that were tested."""
    environment: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    kind: str = KIND
    schema: int = SCHEMA

    @property
    def ensemble(self) -> int:
        """How many networks were averaged."""
        return len(self.cells)


def transfer_file(results: Path, name: str) -> Path:
    """Name the file of a transfer record."""
    return results / "transfer" / f"{name}.json"


def write_transfer(results: Path, record: TransferRecord, *, overwrite: bool = False) -> Path:
    """Write a transfer record; UsageError if it is there already, or RecordError."""
    path = transfer_file(results, record.id)
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already: --overwrite scores it again")
    with atomic_file(path) as stream:
        stream.write(json.dumps(asdict(record), indent=1, allow_nan=False) + "\n")
    return path


def read_transfers(results: Path) -> tuple[list[TransferRecord], list[str]]:
    """Read every transfer record, by id, and a sentence on each file that is none."""
    records, problems = [], []
    for path in sorted(results.glob("transfer/*.json")):
        try:
            records.append(_read(path))
        except RecordError as error:
            problems.append(f"{error}: left out")
    return records, problems


def _read(path: Path) -> TransferRecord:
    try:
        return _from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise cannot_read(path, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path} is not a readable transfer record ({error})") from error


def _from_json(text: str) -> TransferRecord:
    values = json.loads(text)
    if (values["kind"], values["schema"]) != (KIND, SCHEMA):
        raise ValueError(f"it is not a transfer record of schema {SCHEMA}")
    known = {item.name for item in fields(TransferRecord)}
    values = {name: value for name, value in values.items() if name in known}
    return TransferRecord(**{**values, "scores": Scores(**values["scores"])})
