"""All that a GPU can show of the suite, in under nine minutes: `make gpu-check`.

    PYTHONPATH=. python studies/gpu_check.py --out results/studies/speed-h100

Needs torch and the packages that the suite declares, no network and no dataset. Each part is a
process with a limit of its own; what it printed is in OUT as soon as it ends, and the next part
runs whatever became of it. `--tiny --device cpu` tries the whole of it without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"

FRAMES = PROJECT.parent / ".cache" / "gpu-check"
"""Where decoded frames go: not among the files that are kept."""

FAST = ("subjects=6", "tasks=T1,T2", "frames=60")
"""A cut of the embedded dataset that is drawn in seconds."""

ALL_METHODS = "supervised,pseudo_label,fixmatch,tcl,ks"
"""Methods of the speed table: those of the paper on the common trunk."""


@dataclass(frozen=True)
class Check:
    """What all parts share: where they run and write."""

    out: Path
    device: str
    tiny: bool

    @property
    def size(self) -> int:
        """Side of the images: 224, or small where only the script is tried."""
        return 32 if self.tiny else 224

    def bench(self, command: str, results: str, *more: str) -> list[str]:
        """Spell a command of the suite; its records go to a folder of their own.

        `speed` cuts the dataset by itself, so that there is a recording for each clip of a batch.
        """
        device = ["--device", self.device]
        folders = ["--results", str(self.out / results), "--cache", str(FRAMES)]
        cut = () if command.startswith("speed ") else FAST
        knobs = [*(f"synthetic.{option}" for option in cut), f"data.size={self.size}"]
        words = [sys.executable, "-m", "bench", *command.split(), *device, *folders]
        return [*words, *(word for knob in knobs for word in ("--set", knob)), *more]


@dataclass(frozen=True)
class Part:
    """One part: its commands, one after the other, and the seconds they may take together."""

    name: str
    commands: list[list[str]]
    limit: int
    finding: Callable[[Path], str] = lambda _: ""
    """What to say of it, from the folder of results."""


def parts(check: Check) -> Iterator[Part]:
    """Yield every part, the most telling first: a lease may end early."""
    here = [sys.executable, __file__, "--device", check.device, "--out", str(check.out)]
    tiny = ["--tiny"] if check.tiny else []
    steps = "4" if check.tiny else "30"
    short = ["--steps", steps, "--repeats", "1" if check.tiny else "2"]
    preset = "--preset smoke" if check.tiny else "--preset paper"
    yield Part("agreement", [[*here, *tiny, "--part", "agreement"]], 60)
    yield Part(
        "speed",
        [check.bench(f"speed {preset} --methods {ALL_METHODS} --published", "speed", *short)],
        110,
    )
    compiled = [*short, "--set", "train.compile=on"]
    yield Part(
        "speed-compiled",
        [check.bench(f"speed {preset} --methods supervised,ks", "speed-compiled", *compiled)],
        100,
    )
    yield Part(
        "speed-host",
        [check.bench(f"speed {preset} --methods supervised,ks --host", "speed-host", *short)],
        45,
    )
    if not check.tiny:
        trunks = "--trunks resnet50,vit_base_patch16_224"
        yield Part(
            "speed-trunks",
            [check.bench(f"speed {preset} --methods supervised,ks {trunks}", "trunks", *short)],
            90,
        )
    yield from _cells(check)
    yield Part("tests", [[sys.executable, "-m", "pytest", "-q", "-m", "gpu", *gpu_tests()]], 60)


def gpu_tests() -> list[str]:
    """Return the files that hold tests for a GPU: others import packages that may not be there."""
    files = sorted((PROJECT.parent / "tests").rglob("test_*.py"))
    return [str(file) for file in files if "pytest.mark.gpu\n" in file.read_text(encoding="utf-8")]


def _cells(check: Check) -> Iterator[Part]:
    budget = "6" if check.tiny else "300"
    wide = ["--set", f"train.steps={budget}", "--set", "trunk.weights=none"]
    smoke = "run --preset smoke --ratios 0.05"
    yield Part(
        "deterministic",
        [
            check.bench(f"{smoke} --methods ks --deterministic", name)
            for name in ("deterministic-a", "deterministic-b")
        ],
        60,
        _same_bits,
    )
    yield Part(
        "profile", [check.bench("run --methods ks --preset paper --profile", "profile", *wide)], 40
    )
    yield Part(
        "cells",
        [
            check.bench(
                f"run --methods supervised,ks --preset {'smoke' if check.tiny else 'paper'} "
                "--ratios 0.05,1 --folds 0",
                "cells",
                *wide,
            )
        ],
        150,
        _shares,
    )
    twice = f"{smoke} --methods supervised --seeds 0,1"
    yield Part(
        "side-by-side",
        [
            check.bench(f"{twice} --workers 1", "one-by-one"),
            check.bench(f"{twice} --slots-per-gpu 2", "side-by-side"),
        ],
        60,
    )


def _records(folder: Path) -> list[dict[str, object]]:
    files = sorted(folder.glob("runs/*/record.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def _same_bits(out: Path) -> str:
    weights = [
        [record["final_weights"] for record in _records(out / name)]
        for name in ("deterministic-a", "deterministic-b")
    ]
    same = bool(weights[0]) and weights[0] == weights[1]
    return "the same bits twice" if same else f"NOT the same bits: {weights}"


def _shares(out: Path) -> str:
    """Say which share of each cell its evaluation took."""
    said = []
    for record in _records(out / "cells"):
        seconds = record.get("seconds")
        assert isinstance(seconds, dict)
        share = seconds.get("evaluate", 0) / max(seconds.get("total", 0), 1e-9)
        said.append(f"{record['id']}: evaluation {share:.0%}")
    return "; ".join(said)


def python_path() -> str:
    """Return the suite's folder, then what PYTHONPATH holds already: packages carried along."""
    return os.pathsep.join(filter(None, [str(PROJECT.parent), os.environ.get("PYTHONPATH")]))


def lacking(device: str) -> str:
    """Say what must be there before a second of the GPU is spent and is not; empty if all is."""
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    names = [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in [*declared, "pytest-benchmark"]]
    if missing := [name for name in names if not _is_installed(name)]:
        return (
            f"not installed for {sys.executable}: {', '.join(missing)}; install them, or put the "
            "folder that holds them on PYTHONPATH"
        )
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no GPU: `--tiny --device cpu` tries the script"
    return ""


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def run_part(part: Part, out: Path, left: float, patience: float = 1) -> str:
    """Run one part under its limit; what it printed goes into OUT/NAME.txt. Returns one line."""
    began, code = time.monotonic(), 0
    limit = min(part.limit * patience, left)
    with (out / f"{part.name}.txt").open("w", encoding="utf-8") as printed:
        for command in part.commands:
            rest = limit - (time.monotonic() - began)
            try:
                done = subprocess.run(
                    command,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    timeout=max(rest, 1),
                    check=False,
                    env=os.environ | {"PYTHONPATH": python_path()},
                )
            except subprocess.TimeoutExpired:
                return f"{part.name:<16} over its limit of {limit:.0f} s"
            code = code or done.returncode
    state = "ok" if code == 0 else f"exit code {code}"
    took = time.monotonic() - began
    return f"{part.name:<16} {state:<12} {took:5.0f} s  {part.finding(out)}".rstrip()


def agreement(device: str) -> int:
    """Compare each method's first steps on the device with those on a processor, in float32."""
    import torch

    from bench.config.registry import Registry
    from bench.runner.setup import build_experiment
    from bench.study.cell import plan_cells
    from bench.study.study import make_study

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    usable, _ = Registry(()).usable_methods()
    knobs = [f"synthetic.{option}" for option in FAST]
    knobs += ["train.steps=3", "train.amp=off", "train.compile=off", "trunk.weights=none"]
    knobs += ["train.batch_size=4"]  # no more than there are recordings: TCL asks for one a clip
    study = make_study(
        methods=usable, ratios=["0.2"], preset="smoke", knobs=knobs, cache=Path(".cache/frames")
    )
    context = study.context
    data = context.dataset.open(context.settings.data, context.cache, workers=2)
    worst = 0.0
    for cell in plan_cells(study, data, save=True):
        losses = []
        for name in ("cpu", device):
            trainer = build_experiment(cell, torch.device(name)).trainer
            trainer.run(trainer.total)
            row = trainer.history[-1]
            losses.append(torch.tensor([value for key, value in row.items() if key != "step"]))
        gap = float((losses[0] - losses[1]).abs().max() / losses[0].abs().max())
        worst = max(worst, gap)
        print(f"{cell.method!s:<16} losses of three steps differ by {gap:.1e} of the largest")
    return 0 if worst < 0.02 else 1


def main() -> int:
    """Run all parts and print the summary; exit code 1 if a part failed, 2 if none can run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/studies/speed-gpu"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the script")
    parser.add_argument("--seconds", type=float, default=530, help="limit of all parts together")
    parser.add_argument("--part", choices=["agreement"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        return agreement(given.device)
    if wrong := lacking(given.device):
        print(f"error: {wrong}", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    began, lines = time.monotonic(), []
    for part in parts(Check(given.out, given.device, given.tiny)):
        left = given.seconds - (time.monotonic() - began)
        if left < 5:
            lines.append(f"{part.name:<16} not begun: the time is over")
        else:
            lines.append(run_part(part, given.out, left, 20 if given.tiny else 1))
        print(lines[-1], flush=True)
        (given.out / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if all(" ok " in line for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
