"""Networks at planning: every method of a study built once, the weights that it wants fetched.

Called by `run` and `tune` before a frame is decoded, so that what cannot be trained is said at once
and no cell downloads anything.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from bench.config.names import MethodName
from bench.errors import UsageError
from bench.study.study import PublishedWeights, Study
from bench.system.files import atomic_file, cannot_write
from bench.system.hashing import file_digest
from methods._base import MethodError, Task
from methods._packaged_weights import PACKAGE, packaged_weights
from methods._published_weights import fetch_published_weights, published_weights_noted

_LABELLED = 64
"""Labelled frames of the task that a network is built for to see whether it can be."""


def with_networks_checked(study: Study) -> Study:
    """Return the study with the published weights of its methods at hand, as files and hashes.

    Raises UsageError for a method that cannot carry the trunk, for weights that cannot be had or do
    not fit, and RecordError if the cache cannot be written.
    """
    try:
        weights = {str(name): _weights_of(study, name) for name in study.methods}
    except OSError as error:
        raise cannot_write(study.context.cache, error) from error
    kept = {name: found for name, found in weights.items() if found}
    return replace(study, context=replace(study.context, weights=kept))


def _weights_of(study: Study, name: MethodName) -> tuple[PublishedWeights, ...]:
    cls = study.context.registry.method(name.base)
    try:
        with published_weights_noted() as noted, torch.random.fork_rng(devices=[]):
            cls(study.config_of(name), _task(study, name))
    except MethodError as error:
        raise UsageError(f"{name}: {error}; or leave {name} out of --methods") from error
    except Exception:  # noqa: BLE001  what else is wrong with it is its own cells' matter
        return ()
    try:
        return tuple(_found(study.context.cache, *wanted) for wanted in noted.items())
    except MethodError as error:
        raise UsageError(str(error)) from error


def _task(study: Study, name: MethodName) -> Task:
    """Return a task like the study's, with labels of no meaning."""
    settings = study.settings_of(name)
    aus = tuple(study.context.dataset.reader().aus) or (1, 2)
    cls = study.context.registry.method(name.base)
    return Task(
        aus=aus,
        image_size=settings.data.size,
        trunk=settings.trunk,
        positive_rates=(0.5,) * len(aus),
        labelled_frames=_LABELLED,
        unlabelled_frames=_LABELLED,
        clip_len=cls.needs_for(study.config_of(name)).clip_len,
        labels=torch.arange(_LABELLED * len(aus)).reshape(_LABELLED, -1).remainder(3).eq(0).char(),
    )


def _found(cache: Path, name: str, source: str) -> PublishedWeights:
    """Return published weights: a package's where it is installed, a hub's in the shared cache."""
    if source == PACKAGE.source:
        return PublishedWeights(name, source, packaged_weights(), PACKAGE.sha256)
    file = cache / "weights" / f"{source.replace('/', '--')}.safetensors"
    if not file.is_file():
        found = fetch_published_weights(name, source)
        file.parent.mkdir(parents=True, exist_ok=True)
        with found.open("rb") as published, atomic_file(file, "wb") as stream:
            shutil.copyfileobj(published, stream)
    return PublishedWeights(name, source, file, file_digest(file))
