"""Kills `python -m bench run` with SIGKILL, again and again, and checks that nothing shows it.

`make kill-test` does 200 kills; the test suite a handful. A grid of tiny cells is started by the
same command until it is done, and killed each time: half of the times at a random moment, half
while one of its files is being written. Then another grid begins, until there were enough kills.
What must hold:

- after each kill, every record and checkpoint is whole, and done cells are as they were, to the
  nanosecond of their files' times;
- in the end, weights, predictions, history and record (but for timings) are, bit for bit, those of
  a grid that was never killed, and nothing had to be set aside.

The runs are forked from this process, which has imported everything: 200 starts of Python and
torch would take longer than all else.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench.cli import app as cli  # noqa: E402
from bench.cli import run as _grid  # noqa: E402, F401  here, once for every fork
from bench.config.registry import Registry  # noqa: E402
from bench.results.records import read_record  # noqa: E402
from bench.study.code_hash import code_hash  # noqa: E402
from bench.system.environment import commit, versions  # noqa: E402

METHODS = "supervised,fixmatch,ks"
KNOBS = """
synthetic.subjects=6 synthetic.tasks=T1,T7 synthetic.frames=12 synthetic.size=48 data.size=32
train.batch_size=4 train.steps=16 train.checkpoint_steps=2 data.val_subjects=1
train.evaluate_every=20 ks.width=32 ks.hidden=32
"""
TIMINGS = ("seconds", "rates", "environment", "peak_memory_mib")
FILES = (
    "checkpoint.pt",
    "predictions.npz",
    "pseudo_labels.npz",
    "history.jsonl",
    "record.json",
)
HANGING = 300.0
"""Seconds after which a run counts as hanging."""

Enough = Callable[[], bool]


class Broken(Exception):
    """A kill has shown: one sentence."""


@dataclass
class Killing:
    """Grids that are killed, next to one that never was."""

    folder: Path
    chance: random.Random
    longest: float = 0.0
    """Seconds that a life ends in at the latest, where its end is a random moment."""
    moments: Counter[str] = field(default_factory=Counter)
    """What the runs were at when they were killed."""
    cells: int = 0

    @property
    def reference(self) -> Path:
        """The results of the grid that is never killed."""
        return self.folder / "reference"

    def prepare(self) -> None:
        """Carry out the reference: once for the decoded frames, once for its time.

        What every run would find out anew, the forks find in memory.
        """
        cli.make_app(), commit(), versions()
        for name in METHODS.split(","):
            Registry().method(name)
            code_hash(ROOT / "methods" / f"{name}.py")
        for _ in range(2):
            shutil.rmtree(self.reference, ignore_errors=True)
            began = time.monotonic()
            self._finish(self.reference)
            self.longest = 0.5 * (time.monotonic() - began)

    def one_grid(self, kills: int) -> int:
        """Carry out one grid, killed at most so many times; returns how many it were."""
        results = self.folder / "killed"
        killed, done = 0, dict[Path, tuple[bytes, int]]()
        while killed < kills:
            left = set(drafts(results))
            if not self._killed(results):
                break
            killed += 1
            check_whole(results, done)
            self.moments[moment(results, left)] += 1
        self._finish(results)
        check_whole(results, done)
        self.cells += check_same(results, self.reference)
        shutil.rmtree(results)
        return killed

    def _killed(self, results: Path) -> bool:
        """Start the grid and kill it; False if it was through before."""
        enough = self._some_write(results) if self.chance.random() < 0.5 else self._some_moment()
        code = live(self._start(results), enough)
        if code is None:
            return True
        self._check(code)
        return False

    def _some_moment(self) -> Enough:
        until = time.monotonic() + self.chance.uniform(0, self.longest)
        return lambda: time.monotonic() > until

    def _some_write(self, results: Path) -> Enough:
        """Be enough while a file is being written: the first of its kind, or a later one."""
        name = self.chance.choice(FILES)
        left = self.chance.randrange(1, 9) if name == "checkpoint.pt" else 1
        seen = old = set(drafts(results, name))

        def enough() -> bool:
            nonlocal seen
            seen = seen | set(drafts(results, name))
            return len(seen) - len(old) >= left

        return enough

    def _finish(self, results: Path) -> None:
        code = live(self._start(results), lambda: False)
        self._check(code)

    def _check(self, code: int | None) -> None:
        if code != 0:
            raise Broken(f"the run ended with exit code {code}:\n{self._log.read_text()[-3000:]}")

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _start(self, results: Path) -> int:
        """Start the command in a process of its own; returns its id."""
        pid = os.fork()
        if pid:
            return pid
        with self._log.open("w") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        sys.argv = ["bench", *command(results, self.folder / "cache")]
        code = 1
        try:
            cli.main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        finally:
            sys.stderr.flush()
            os._exit(code)


def command(results: Path, cache: Path) -> Iterator[str]:
    """Yield the words of the command that is killed."""
    grid = f"run --methods {METHODS} --ratios 0.3 --preset smoke --folds 0 --workers 1 --device cpu"
    yield from grid.split()
    for knob in KNOBS.split():
        yield from ("--set", knob)
    yield from ("--results", str(results), "--cache", str(cache))


def live(pid: int, enough: Enough) -> int | None:
    """Let a process live until `enough`, then kill it; returns its exit code if it ended before."""
    until = time.monotonic() + HANGING
    while not enough():
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            raise Broken(f"the run hung for {HANGING:.0f} s")
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if code == -signal.SIGKILL else code


def drafts(results: Path, name: str = "") -> list[Path]:
    """Return the files that are half-written, or were when their writer was killed."""
    return list(results.glob(f"runs/*/.{name}*.tmp"))


def moment(results: Path, before: set[Path]) -> str:
    """Say what a run was at when it was killed, by what it left; `before` lists older drafts."""
    for name in FILES:
        if set(drafts(results, name)) - before:
            return f"writing {name}"
    begun = [path for path in results.glob("runs/*") if not (path / "record.json").exists()]
    if any((path / "checkpoint.pt").exists() for path in begun):
        return "a cell with a checkpoint"
    return "a cell without a checkpoint" if begun else "between cells"


def check_whole(results: Path, done: dict[Path, tuple[bytes, int]]) -> None:
    """Check every file that a kill left, and that cells done before are untouched.

    `done` maps the files of done cells to their content and time; those done since are added.
    """
    for path, before in done.items():
        if before != (path.read_bytes(), path.stat().st_mtime_ns):
            raise Broken(f"{path} of a done cell has changed")
    for path in results.glob("runs/*/record.json"):
        record = read_record(path)
        if record.status != "done":
            raise Broken(f"{path}: {record.reason}")
        files = [path.with_name(name) for name in kept(path.parent)]
        done.update({file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files})
    for path in results.glob("runs/*/checkpoint.pt"):
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise Broken(f"{path} is torn")


def check_same(results: Path, reference: Path) -> int:
    """Check that two grids are the same, bit for bit; returns how many cells they have."""
    ours, theirs = (
        {p.parent.name: p.parent for p in r.glob("runs/*/record.json")}
        for r in (results, reference)
    )
    if ours.keys() != theirs.keys():
        raise Broken(f"the cells are {sorted(ours)}, not {sorted(theirs)}")
    for name, folder in ours.items():
        if outcome(folder) != outcome(theirs[name]):
            raise Broken(f"the record of {name} differs: {results} and {reference}")
        whole = kept(folder) | {"pseudo_labels.npz", "checkpoint.pt"} == set(FILES)
        if kept(folder) != kept(theirs[name]) or not whole:
            raise Broken(f"{folder} holds {sorted(kept(folder))}")
        for file in kept(folder) - {"record.json"}:
            if (folder / file).read_bytes() != (theirs[name] / file).read_bytes():
                raise Broken(f"{file} of {name} differs: {results} and {reference}")
    return len(ours)


def kept(folder: Path) -> set[str]:
    """Name a done cell's files.

    Killed just after the record was there, a run leaves its claim, its checkpoint or a draft.
    """
    names = {path.name for path in folder.iterdir() if not path.name.startswith((".", "claim"))}
    return names - {"checkpoint.pt"}


def outcome(folder: Path) -> dict[str, object]:
    """Return what a record says of the result: all but timings and where it ran."""
    values = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    # AUs that the few labels do not show are the data's, and the same without a kill
    warned = [text for text in values["warnings"] if not text.endswith("nothing to learn")]
    if not values["final_weights"] or warned:
        raise Broken(f"{folder}: weights {values['final_weights']}, warns {values['warnings']}")
    return {key: value for key, value in values.items() if key not in TIMINGS}


def kill(folder: Path, kills: int, seed: int) -> str:
    """Kill that often; returns the figures. Raises Broken."""
    began = time.monotonic()
    killing = Killing(folder, random.Random(seed))
    killing.prepare()
    left, grids = kills, 0
    while left:
        left -= killing.one_grid(min(left, 25))
        grids += 1
        at = ", ".join(f"{count} {what}" for what, count in killing.moments.most_common())
        print(f"{kills - left} kills ({at}), {killing.cells} cells compared", flush=True)  # noqa: T201
    lines = [
        f"{kills} kills of {grids} grids (seed {seed}) in {time.monotonic() - began:.0f} s: "
        f"{killing.cells} cells, each as if never killed",
        *(f"  {count:4} while at: {what}" for what, count in killing.moments.most_common()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Kill as often as is asked for; exit code 1 if a kill shows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        print(kill(folder, asked.kills, asked.seed))  # noqa: T201
    except Broken as error:
        sys.exit(f"seed {asked.seed}: {error}\n(kept: {folder})")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
