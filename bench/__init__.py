"""The benchmark itself: `python -m bench`, run from the project's root. Start with `cli/`."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
for _name in ("methods", "datasets"):
    if not (_ROOT / _name / "_base.py").is_file():
        raise ImportError(
            f"the folder {_name}/ does not lie beside bench/ in {_ROOT}: "
            "clone the whole project and run `python -m bench` from its root"
        )
