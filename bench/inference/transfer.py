"""Scoring networks on another dataset: the AUs that both code, subjects as units; for `predict`.

Shapes: N coded frames, A action units that both datasets code.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.frame_store.store import FrameStore, StoredSequence
from bench.metrics import always_positive_f1, score_fold, with_gaps
from bench.results.transfer import TransferRecord
from bench.system.environment import describe
from bench.system.hashing import digest
from datasets._base import UNCODED

from .network import Network


def common_aus(networks: Sequence[Network], store: FrameStore, dataset: str) -> list[int]:
    """Return the AUs that networks tell and a dataset codes, in the networks' order.

    Raises UsageError if there is none, and if the dataset is the one that a network was trained on.
    """
    known = networks[0].description
    for description in (network.description for network in networks):
        if description.hashes["data"] == store.content_hash:
            raise UsageError(
                f"{description.id} was trained on these very frames: its record has its scores "
                "(`table`); --score is for another dataset"
            )
    found = [au for au in known.aus if au in store.aus]
    if not found:
        raise UsageError(
            f"no AU in common: {known.cell['dataset']} codes {_listed(known.aus)}, "
            f"and {dataset} {_listed(store.aus)}"
        )
    return found


def _listed(aus: Sequence[int]) -> str:
    return ", ".join(f"AU{au}" for au in aus)


def transfer_record(
    networks: Sequence[Network],
    store: FrameStore,
    dataset: str,
    probabilities: Mapping[str, NDArray[np.float32]],
    *,
    started: float,
    command: str,
) -> TransferRecord:
    """Score each film's probabilities (stored frames, AUs of the networks) on the common AUs.

    Frames that no common AU is coded on count nowhere. Raises UsageError if none is left.
    """
    aus = common_aus(networks, store, dataset)
    ours = [networks[0].aus.index(au) for au in aus]
    theirs = [store.aus.index(au) for au in aus]
    films = {film.name: film for film in store.sequences}
    labels = np.concatenate([film.labels[:, theirs] for film in films.values()])
    shares = np.concatenate([probabilities[name][:, ours] for name in films])
    subjects = np.concatenate([[f.subject] * len(f.frames) for f in films.values()])
    coded = (labels != UNCODED).any(axis=1)
    if not coded.any():
        raise UsageError(f"{dataset}: none of its frames is coded for {_listed(aus)}")
    return TransferRecord(
        id=_name(networks, dataset, store),
        cells={n.description.id: n.description.final_weights for n in networks},
        cell=dict(networks[0].description.cell),
        versions={name: networks[0].description.hashes[name] for name in ("config", "code")},
        trained_aus=list(networks[0].aus),
        dataset=dataset,
        hashes={"data": store.content_hash},
        aus=aus,
        scores=score_fold(labels[coded], shares[coded], subjects[coded].tolist(), step=0),
        always_positive=with_gaps(always_positive_f1(labels[coded])),
        frames=int(coded.sum()),
        environment=describe(networks[0].device, started or time.time(), command),
        warnings=[*store.warnings, *_namesakes(networks, dataset, list(films.values()))],
    )


def _name(networks: Sequence[Network], dataset: str, store: FrameStore) -> str:
    first = networks[0].description.id
    rest = sorted(network.description.id for network in networks)
    cells = first if len(rest) == 1 else f"{first}-and-{len(rest) - 1}-more-{digest(rest)[:6]}"
    return f"{cells}--{dataset}-{store.content_hash[:10]}"


def _namesakes(
    networks: Sequence[Network], dataset: str, films: Sequence[StoredSequence]
) -> list[str]:
    """Warn where the tested people may be those that were trained on, in other frames."""
    if all(network.description.cell["dataset"] != dataset for network in networks):
        return []
    people = len({film.subject for film in films})
    return [
        f"{dataset} was trained on too, with other frames or labels: the {people} people tested "
        "may have been trained on"
    ]
