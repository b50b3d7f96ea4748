"""Methods that make trouble, as plugin files: each notes beside its file when a cell begins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_BODY = """
import os, signal, time
from pathlib import Path
from torch import nn
from methods._base import Method

HERE = Path(__file__).parent

class Odd(Method):
    def __init__(self, config, task):
        super().__init__(config, task)
        with open(HERE / (Path(__file__).stem + ".log"), "a") as log:
            log.write(f"{{os.getpid()}}\\n")
        self.fc = nn.Linear(3, len(task.aus))
        {begin}

    def losses(self, batch, progress):
        {step}
        logits = self.head(self.encode(batch.key)[:, None])
        loss = nn.functional.binary_cross_entropy_with_logits
        return {{"au": loss(logits, batch.labels.clamp(min=0))}}

    def encode(self, frames, landmarks=None):
        return frames.mean(dim=(2, 3))

    def head(self, features):
        return self.fc(features[:, features.shape[1] // 2])
"""

_KILL = "os.kill(os.getpid(), signal.SIGKILL)"
_KILL_ONCE = f"""if progress.step == 4 and not (HERE / "killed").exists():
            (HERE / "killed").touch()
            {_KILL}"""

PLUGINS = {
    "counted": {},
    "killed_once": {"step": _KILL_ONCE},
    "dying": {"begin": _KILL},
    "raising": {"step": 'raise RuntimeError("no such luck")'},
    "slow": {"step": 'time.sleep(0 if (HERE / "hurry").exists() else 0.5)'},
}


def write_plugins(folder: Path, names: Iterable[str]) -> list[Path]:
    """Write the methods of these names into a folder; returns their files."""
    files = []
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        text = _BODY.format(**{"begin": "pass", "step": "pass", **PLUGINS[name]})
        files.append(folder / f"{name}.py")
        files[-1].write_text(text)
    return files


def starts(folder: Path, name: str) -> int:
    """Count how often cells of the method began."""
    log = folder / f"{name}.log"
    return len(log.read_text().splitlines()) if log.exists() else 0
