"""Plugin files: imported by path, their frame sources made picklable for decoding processes.

Frames are decoded in fresh processes, which find a class by its module's name; a file that only
this process was told of has none there. So a plugin's sources travel with the path of their file.

Imports no torch: the processes that decode have no use for it.
"""

from __future__ import annotations

import copyreg
import importlib.util
import io
import pickle
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

_FRAME_SOURCE = ("fingerprint", "read", "size")
"""What tells a `FrameSource` from other classes."""


def import_file(name: str, file: Path) -> ModuleType:
    """Import `file` as module `name`, or return it if it is imported; nothing stays if it fails."""
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(file):
        return loaded
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _make_sources_picklable(module, file)
    return module


def _make_sources_picklable(module: ModuleType, file: Path) -> None:
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    for kind in classes:
        if kind.__module__ == module.__name__ and all(
            hasattr(kind, name) for name in _FRAME_SOURCE
        ):
            copyreg.pickle(kind, partial(_reduce, file))


def _reduce(file: Path, source: object) -> tuple[Callable[..., Any], tuple[str, Path, bytes]]:
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream)
    kind = type(source)
    # without its own entry, or this would never end
    pickler.dispatch_table = {k: v for k, v in copyreg.dispatch_table.items() if k is not kind}
    pickler.dump(source)
    return _rebuild, (kind.__module__, file, stream.getvalue())


def _rebuild(name: str, file: Path, data: bytes) -> object:
    import_file(name, file)
    return pickle.loads(data)  # noqa: S301  made by `_reduce`, within one run
