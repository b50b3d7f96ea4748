"""Label masks: the frozen, hashed set of key frames that a label budget pays for.

A mask's draw for a sequence depends on (dataset, rule, seed, sequence) alone: masks of two folds
agree on the sequences they share, and `contiguous` and `random` masks nest across ratios.
"""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from datasets._base import DatasetCorrupt

from .folds import SequenceLike, SplitError, sha256, unknown_choice


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMask:
    """The frames whose labels a budget pays for, by sequence; its identity is its hash."""

    dataset: str
    rule: str
    ratio: float
    """The share that was asked for, in (0, 1]."""
    seed: int
    coded: int
    """Coded frames that the key frames were chosen from."""
    key_frames: Mapping[str, NDArray[np.int64]]
    """Sequence name -> the dataset's own frame numbers, increasing; empty if none was coded."""

    @property
    def count(self) -> int:
        """Count the key frames."""
        return sum(map(len, self.key_frames.values()))

    @property
    def share(self) -> float:
        """Return the key frames' share of the coded ones, as near `ratio` as the rule gets."""
        return self.count / self.coded

    @property
    def sha256(self) -> str:
        """Hash of the budget and of every key frame, in whatever order sequences came."""
        frames = {name: numbers.tolist() for name, numbers in self.key_frames.items()}
        content = [self.dataset, self.rule, self.ratio, self.seed, self.coded, frames]
        return sha256(json.dumps(content, sort_keys=True))

    def positions(self, sequence: SequenceLike) -> NDArray[np.int64]:
        """Return where the key frames stand in `sequence.frames`, increasing.

        Raises SplitError if the mask does not cover the sequence or names a frame it has not.
        """
        if sequence.name not in self.key_frames:
            raise SplitError(f"the label mask does not cover {sequence.name}: draw it anew")
        wanted = self.key_frames[sequence.name]
        missing = np.setdiff1d(wanted, sequence.frames)
        if len(missing):
            raise SplitError(
                f"the label mask wants frame {missing[0]} of {sequence.name}, which is not on "
                "disk: the dataset has changed since the mask was drawn"
            )
        return np.searchsorted(sequence.frames, wanted).astype(np.int64)

    def save(self, path: Path) -> None:
        """Write the mask as JSON, whole or not at all; a file of other content is never replaced.

        Raises SplitError if `path` holds another mask; the same mask is left as it is.
        """
        if path.exists():
            if LabelMask.load(path).sha256 != self.sha256:
                raise SplitError(
                    f"{path} holds another label mask: save under another name, or move it away "
                    "if no result depends on it"
                )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with temporary.open("x", encoding="utf-8") as stream:
                stream.write(self._json())
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _json(self) -> str:
        """Write one line a sequence: a person can read it, and a diff can show it."""
        head = {
            "dataset": self.dataset,
            "rule": self.rule,
            "ratio": self.ratio,
            "seed": self.seed,
            "coded": self.coded,
            "sha256": self.sha256,
        }
        lines = [
            f"  {json.dumps(name)}: {self.key_frames[name].tolist()}"
            for name in sorted(self.key_frames)
        ]
        body = ",\n".join(lines)
        return f'{json.dumps(head, indent=1)[:-2]},\n "key_frames": {{\n{body}\n }}\n}}\n'

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a saved mask. Raises DatasetCorrupt if the file is no mask or was edited."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            claimed = content.pop("sha256")
            frames = content.pop("key_frames")
            frames = {name: np.array(numbers, np.int64) for name, numbers in frames.items()}
            mask = cls(**content, key_frames=frames)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DatasetCorrupt(path, None, f"this is no saved label mask ({error})") from error
        if mask.sha256 != claimed:
            raise DatasetCorrupt(
                path, None, "the label mask was edited: its content does not match its sha256"
            )
        return mask


def label_mask(
    sequences: Iterable[SequenceLike],
    ratio: float,
    rule: str = "sparse",
    seed: int = 0,
    *,
    dataset: str,
) -> LabelMask:
    """Choose key frames among the coded frames of each of the given (training) sequences.

    `ratio` is the share of coded frames in (0, 1], taken as the decimal it prints as. Rules:
    `sparse`, one label every 1/ratio frames; `contiguous`, one block; `random`. Every sequence
    with a coded frame keeps a key frame. Raises SplitError for a bad ratio or an unknown rule.
    """
    share = _exact(ratio)
    if rule not in RULES:
        raise unknown_choice("sampling rule", rule, RULES)
    coded: dict[str, NDArray[np.int64]] = {}
    for sequence in sequences:
        assert sequence.name not in coded, f"two sequences are called {sequence.name}"
        coded[sequence.name] = sequence.frames[sequence.coded]
    if not any(map(len, coded.values())):
        raise SplitError(f"no label to choose from: no frame of {dataset} is coded here")
    key_frames = {}
    for name, frames in coded.items():
        draw = _Draw(dataset, rule, seed, name)
        chosen = RULES[rule](len(frames), share, draw) if len(frames) else []
        key_frames[name] = frames[np.asarray(chosen, np.int64)]
    return LabelMask(
        dataset=dataset,
        rule=rule,
        ratio=float(ratio),
        seed=seed,
        coded=sum(map(len, coded.values())),
        key_frames=key_frames,
    )


def _exact(ratio: float) -> Fraction:
    """Take 0.15 as 15/100: the binary float nearest to it would move key frames."""
    if not 0 < ratio <= 1:
        raise SplitError(f"label ratio {ratio} is outside (0, 1]: 0.05 means 5 % of coded frames")
    return Fraction(str(float(ratio)))


class _Draw:
    """One sequence's random stream: it depends on what names it, and on nothing else.

    Raw PCG64 bits are the same in every version of numpy; its distributions need not be.
    """

    def __init__(self, dataset: str, rule: str, seed: int, sequence: str):
        spelled = "\x1f".join((dataset, rule, str(seed), sequence))
        self._bits = np.random.PCG64(int(sha256(spelled)[:16], 16))
        self._still = seed == 0

    def shift(self, room: int) -> int:
        """Draw from 0..room-1, never less for a larger `room`; seed 0 does not move."""
        return 0 if self._still else int(self._bits.random_raw()) * room >> 64

    def order(self, length: int) -> list[int]:
        """Return a permutation of 0..length-1."""
        order: list[int] = np.argsort(self._bits.random_raw(length), kind="stable").tolist()
        return order


def _nearest(length: int, share: Fraction) -> int:
    """Return the whole number of frames nearest to the share of `length`, at least 1."""
    return max(1, (2 * share * length + 1) // 2)


def _sparse(length: int, share: Fraction, draw: _Draw) -> list[int]:
    """Return offset + floor(j / share), j = 0, 1, ...: one rule where 1/share is no integer too."""
    offset = draw.shift(min(share.denominator // share.numerator, length))
    count = math.ceil(share * (length - offset))
    return [offset + j * share.denominator // share.numerator for j in range(count)]


def _contiguous(length: int, share: Fraction, draw: _Draw) -> list[int]:
    """Return one block; as it grows by a frame its start stays or steps back by one: it nests."""
    count = _nearest(length, share)
    start = draw.shift(length - count + 1)
    return list(range(start, start + count))


def _random(length: int, share: Fraction, draw: _Draw) -> list[int]:
    """Return the beginning of one permutation, sorted: a longer beginning holds a shorter one."""
    return sorted(draw.order(length)[: _nearest(length, share)])


Rule = Callable[[int, Fraction, _Draw], list[int]]

RULES: Mapping[str, Rule] = {"sparse": _sparse, "contiguous": _contiguous, "random": _random}
"""Sampling rules by name: (coded frames, share, draw) -> chosen positions, increasing."""
