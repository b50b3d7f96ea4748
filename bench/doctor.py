"""Doctor: what a run needs (packages, device, disk, data) and whether it is there.

Each function gives lines for a person; nothing is decoded, downloaded or written.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import textwrap
import threading
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

import torch
from packaging.requirements import Requirement

from bench.config.registry import Registry
from bench.errors import UsageError
from bench.results.records import Record
from bench.system.environment import commit, cpu_count, device_name
from datasets._base import DatasetError

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"

DATA_FOLDERS = "AU_BENCH_DATA"
"""Environment variable: folders to look for datasets in, separated as in PATH."""

READ_TIMEOUT = 5.0
"""Seconds that one folder is read before it is passed over as too slow for a quick look."""

CHILDREN = 20


@dataclass(frozen=True)
class FoundDataset:
    """A folder that a reader can read."""

    dataset: str
    root: Path
    text: str
    known: bool
    """Every subject is in the reader's fold list."""
    frames: int


@dataclass
class Diagnosis:
    """Lines under headings, and what to do next, most urgent first."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    def page(self) -> str:
        """Write it down: a heading once, its lines below each other."""
        shown, last = [], ""
        for heading, text in [*self.lines, *(("next", text) for text in self.advice)]:
            for line in _wrapped(text):
                shown.append(f"{'' if heading == last else heading:<10} {line}".rstrip())
                last = heading
        return "\n".join(shown) + "\n"


def _wrapped(text: str) -> list[str]:
    if text.startswith("python "):  # to be copied, whole
        return [text]
    return textwrap.wrap(text, 88, break_long_words=False, break_on_hyphens=False)


def diagnose(
    roots: Sequence[Path], results: Path, cache: Path, records: Sequence[Record]
) -> Diagnosis:
    """Look at everything; `records` are those in `results`."""
    found = Diagnosis()
    _system(found)
    _packages(found)
    _device(found)
    _disks(found, {"frames": cache, "results": results})
    finds = _datasets(found, roots, records)
    _stores(found, cache, finds)
    _results(found, records, finds)
    return found


def _system(found: Diagnosis) -> None:
    at = commit() or "unknown: this is no checkout of the suite"
    here = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    found.lines.append(("suite", f"commit {at}; {here}"))


def _packages(found: Diagnosis) -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    needed = [Requirement(text) for text in project["dependencies"]]
    states = {need.name: _installed(need) for need in needed}
    good = [f"{name} {state}" for name, state in states.items() if state and state[0].isdigit()]
    found.lines.append(("packages", ", ".join(good)))
    bad = [name for name, state in states.items() if not (state and state[0].isdigit())]
    if bad:
        wrong = ", ".join(f"{name} ({states[name] or 'not installed'})" for name in bad)
        found.lines.append(("packages", f"WRONG: {wrong}"))
        found.advice.append("python -m pip install -c constraints.txt -e .")
    extras = project["optional-dependencies"]
    there: list[str] = []
    lacking: list[str] = []
    for extra, texts in extras.items():
        whole = all(_installed(Requirement(text)) for text in texts)
        (there if whole else lacking).append(extra)
    text = f"installed {', '.join(there) or 'none'}; not installed {', '.join(lacking) or 'none'}"
    found.lines.append(("extras", text))


def _installed(need: Requirement) -> str:
    """Return a package's version, `not >=2` if that is not met, empty if it is not there."""
    try:
        there = version(need.name)
    except PackageNotFoundError:
        return ""
    return there if need.specifier.contains(there, prereleases=True) else f"not {need.specifier}"


def _device(found: Diagnosis) -> None:
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        size = torch.cuda.get_device_properties(device).total_memory / 2**30
        found.lines.append(
            ("device", f"{device} {torch.cuda.get_device_name(device)}, {size:.0f} GiB")
        )
    cores = f"{cpu_count()} cores"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = device_name(torch.device("cpu")).rpartition(",")[0]
    found.lines.append(("device", f"cpu {processor}, {cores}, {memory:.0f} GiB memory"))
    if not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        found.lines.append(("device", f"no GPU is visible (this torch is built {built})"))


def _disks(found: Diagnosis, folders: dict[str, Path]) -> None:
    for what, folder in folders.items():
        there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
        free = shutil.disk_usage(there).free / 1e9
        writable = "" if os.access(there, os.W_OK) else ", NOT WRITABLE"
        found.lines.append(("disk", f"{free:,.0f} GB free for {what} in {folder}{writable}"))


def _datasets(
    found: Diagnosis, roots: Sequence[Path], records: Sequence[Record]
) -> list[FoundDataset]:
    registry, finds, slow = Registry(), [], []
    names = [name for name in registry.datasets() if _needs_root(registry, name)]
    places = _places(roots, records)
    for folder in places:
        read = _best(registry, names, folder)
        if read is None:
            slow.append(folder)
        finds += read or []
    found.lines.append(("datasets", "synthetic   needs nothing"))
    for find in finds:
        found.lines.append(("datasets", f"{find.dataset:<11} {find.root}: {find.text}"))
    found.lines += [
        ("datasets", f"{'?':<11} {place}: slow to read, not waited for") for place in slow
    ]
    lacking = sorted(set(names) - {find.dataset for find in finds})
    found.lines.append(("datasets", f"not seen in {len(places)} folders: {', '.join(lacking)}"))
    if not finds:
        found.advice.append(f"datasets: name their folders by --root DIR, or in {DATA_FOLDERS}")
    return finds


def _needs_root(registry: Registry, name: str) -> bool:
    try:
        return registry.dataset(name).needs_root
    except UsageError:
        return False


def _places(roots: Sequence[Path], records: Iterable[Record]) -> list[Path]:
    """List the folders to look in: those given, the variable's, and those that runs named."""
    given = [*roots, *map(Path, filter(None, os.environ.get(DATA_FOLDERS, "").split(os.pathsep)))]
    beside = [child for place in given for child in _children(place)]
    ran = [Path(root) for record in records for root in _root_of(record)]
    places = [place.expanduser().resolve() for place in (*given, *beside, *ran)]
    return [place for place in dict.fromkeys(places) if place.is_dir()]


def _children(place: Path) -> list[Path]:
    try:
        return sorted(child for child in place.iterdir() if child.is_dir())[:CHILDREN]
    except OSError:
        return []


def _root_of(record: Record) -> Iterator[str]:
    try:
        words = shlex.split(str(record.environment.get("command", "")))
    except ValueError:
        return
    yield from (after for word, after in pairwise(words) if word == "--root")


def _best(registry: Registry, names: Sequence[str], folder: Path) -> list[FoundDataset] | None:
    """Return what reads the folder: the first whose fold list knows everybody, or most frames of.

    None if reading takes longer than a quick look may.
    """
    finds: list[FoundDataset] = []

    def read() -> None:
        for name in names:
            finds.extend(_read(registry, name, folder))
            if finds and finds[-1].known:
                break

    # A daemon, so that a slow disk does not hold up the end of the process.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(READ_TIMEOUT)
    if reader.is_alive():
        return None
    finds.sort(key=lambda find: (not find.known, -find.frames, find.dataset))
    return finds[:1]


def _read(registry: Registry, name: str, folder: Path) -> Iterator[FoundDataset]:
    """Yield what reader `name` makes of a folder; nothing if it is another dataset's."""
    try:
        dataset = registry.dataset(name)(folder)  # without faces from a file: they take long
        recordings = dataset.sequences()
        listed = {subject for group in dataset.folds().groups for subject in group}
    except (DatasetError, UsageError, OSError):
        return
    subjects = {recording.subject for recording in recordings}
    coded = sum(int(recording.coded.sum()) for recording in recordings)
    if coded:
        text = f"{len(subjects)} subjects, {len(recordings)} recordings, {coded:,} coded frames"
        if dataset.problems:
            text += f", {len(dataset.problems)} notes"
        yield FoundDataset(name, folder, text, subjects <= listed, coded)


def _stores(found: Diagnosis, cache: Path, finds: Sequence[FoundDataset]) -> None:
    stores = sorted(path.parent for path in cache.glob("*/manifest.json"))
    size = sum(file.stat().st_size for store in stores for file in store.glob("*.npy")) / 1e9
    kinds = Counter(store.name.rpartition("-")[0] for store in stores)
    named = ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in kinds.items())
    found.lines.append(
        ("stores", f"{len(stores)} of decoded frames, {size:,.1f} GB: {named or '-'}")
    )
    for find in finds:
        if not any(kind.startswith(f"{find.dataset}-") for kind in kinds):
            where = shlex.quote(str(find.root))
            found.advice.append(
                f"python -m bench data prepare --dataset {find.dataset} --root {where}"
            )


def _results(found: Diagnosis, records: Sequence[Record], finds: Sequence[FoundDataset]) -> None:
    counts = Counter(record.status for record in records)
    line = ", ".join(f"{count} {status}" for status, count in counts.items())
    found.lines.append(("results", line or "no records yet"))
    if counts["failed"]:
        found.advice.append("python -m bench status   (says why cells failed)")
    if not records:
        found.advice.append("python -m bench run   (the embedded dataset, every method)")
    else:
        found.advice.append("python -m bench table")
    tried = {str(record.cell.get("dataset")) for record in records}
    for find in finds:
        if find.dataset not in tried:
            where = shlex.quote(str(find.root))
            found.advice.append(
                f"python -m bench run --dataset {find.dataset} --root {where} --preset smoke"
            )
