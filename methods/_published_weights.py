"""Published weights of timm's networks: noted at planning, fetched once, handed over by name.

Used by `_trunks.py` and `_eac.py` where a network takes ImageNet weights, and by the runner, which
fetches them before any cell begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import hf_hub_download, hf_hub_url
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import get_session

from ._base import MethodError

_FILE = "model.safetensors"

_NOTED: ContextVar[dict[str, str] | None] = ContextVar("names are noted", default=None)
_AT_HAND: ContextVar[Mapping[str, Path] | None] = ContextVar("files at hand", default=None)


@contextmanager
def published_weights_noted() -> Iterator[dict[str, str]]:
    """Note the weights that networks ask for: timm name -> where those weights are published.

    The networks begin at random then; files that a person named are read all the same.
    """
    noted: dict[str, str] = {}
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


@contextmanager
def published_weights_at_hand(files: Mapping[str, Path]) -> Iterator[None]:
    """Let networks read the weights of these timm names from files, and download none of them."""
    token = _AT_HAND.set(files)
    try:
        yield
    finally:
        _AT_HAND.reset(token)


def only_noted(name: str, source: str | None = None) -> bool:
    """Note that a network asks for the weights of a timm name, and tell whether that is all.

    Without a `source` they are those that timm's list names; a name it has none for is not noted.
    """
    noted = _NOTED.get()
    if noted is not None and (source := source or _published_as(name)):
        noted[name] = source
    return noted is not None


def file_at_hand(name: str) -> Path | None:
    """Return the file that was found for a timm name when the study was planned, if one was."""
    return (_AT_HAND.get() or {}).get(name)


def _published_as(name: str) -> str | None:
    """Return where the weights of a timm name are published, e.g. `timm/resnet18.tv_in1k`."""
    config = timm.get_pretrained_cfg(name)
    source: str | None = config.hf_hub_id if config is not None else None
    return source


def fetch_published_weights(name: str, source: str) -> Path:
    """Return the published file from the hub's cache, or download it; raises MethodError.

    A hub that does not answer within ten seconds is asked no second time.
    """
    repository, _, revision = source.partition("@")
    where: dict[str, Any] = {"repo_id": repository, "filename": _FILE, "revision": revision or None}
    try:
        try:
            return Path(hf_hub_download(**where, local_files_only=True))
        except LocalEntryNotFoundError:
            get_session().head(hf_hub_url(**where), timeout=10)
            return Path(hf_hub_download(**where))
    except Exception as error:
        raise MethodError(
            f"the ImageNet weights of {name} cannot be downloaded ({type(error).__name__}): "
            "give --set trunk.weights=PATH|none"
        ) from error
