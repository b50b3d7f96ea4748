"""Images in zip archives, read where they lie: nothing is unpacked and nothing is written.

An archive may come from anywhere, so its table of contents is checked before a member is used: one
whose path leads out of the archive, which is a link, encrypted, or blown up is refused and named.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import stat
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from datasets._base import BrokenFrame, DatasetCorrupt

from .images import DAMAGE, Header, decode, joint_size, read_header, reason, turned

MAX_BYTES = 50_000_000
"""More than the file of any video frame has."""

MAX_RATIO = 100
"""Images hardly shrink in a zip; beyond this a member over a megabyte is an attack on time."""

METHODS = {6: "implode", 9: "deflate64", 93: "zstandard", 95: "xz", 98: "PPMd", 99: "AES"}
"""Ways of compression that programs write and `zipfile` cannot read."""

_DAMAGE = (*DAMAGE, zipfile.BadZipFile, lzma.LZMAError, RuntimeError)
"""What zipfile raises besides: RuntimeError for passwords and unknown ways of compression."""

_IMAGE = re.compile(
    r"(?:.*?/)??(?:(?:(?P<subject>[FM][0-9]{3})[/_])?(?P<task>T[0-9]{1,3})/)?"
    r"(?P<number>[0-9]{1,9})\.(?:jpe?g|png)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Member:
    """An image in an archive: its name there, its size in bytes, and its CRC-32."""

    name: str
    size: int
    crc: int


@dataclass(frozen=True)
class ZipImages:
    """The frames of a sequence as JPEG or PNG members of a zip archive (a `FrameSource`)."""

    root: Path
    """Folder of the dataset; it may move."""
    archive: str
    """The archive, relative to `root`, with forward slashes."""
    members: tuple[Member, ...]
    """The images in frame order."""

    def __len__(self) -> int:
        return len(self.members)

    def pick(self, positions: Iterable[int]) -> ZipImages:
        """Return the frames at these positions (0-based) only."""
        return replace(self, members=tuple(self.members[k] for k in positions))

    def fingerprint(self) -> str:
        """Hash the members' names, sizes and checksums: a copied archive counts as the same."""
        lines = (f"{m.name}\0{m.size}\0{m.crc}\n" for m in self.members)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def read(self, min_side: int | None = None) -> Iterator[NDArray[np.uint8] | BrokenFrame]:
        """Yield each frame as `ImageFiles.read` does, or why it cannot be read."""
        try:
            opened = ZipFile(self.root / self.archive)
        except _DAMAGE as error:
            yield from (BrokenFrame(self._name(m), reason(error)) for m in self.members)
            return
        with opened:
            for member in self.members:
                try:
                    yield decode(_content(opened, member), min_side)
                except _DAMAGE as error:
                    yield BrokenFrame(self._name(member), reason(error))

    def size(self) -> tuple[int, int] | NDArray[np.int64]:
        """Return the members' (height, width), by their headers; (T, 2) where they differ.

        Raises DatasetCorrupt, saying why the first cannot be read, if none can.
        """
        return joint_size(self.root / self.archive, self._headers)

    def remarks(self) -> list[str]:
        """Say which pictures ask to be shown turned."""
        return turned(map(self._name, self.members), self._headers)

    @cached_property
    def _headers(self) -> list[Header | str]:
        try:
            with ZipFile(self.root / self.archive) as opened:
                return [_header(opened, member) for member in self.members]
        except _DAMAGE as error:
            return [reason(error)] * len(self)

    def _name(self, member: Member) -> str:
        return f"{self.archive}:{member.name}"


def images_in(
    archive: Path, subject: str, task: str | None
) -> tuple[dict[str, list[tuple[int, Member]]], list[str]]:
    """List a subject's images: task -> (image number, member) by name, and what was refused.

    The archive is `subject`'s, and holds one `task` or, if None, folders named by task. Raises
    DatasetCorrupt for what is no zip archive, and for one whose members overlap.
    """
    found: dict[str, list[tuple[int, Member]]] = defaultdict(list)
    refused: dict[str, list[str]] = defaultdict(list)
    for info in sorted(_contents(archive), key=lambda info: info.filename):
        path = info.filename.replace("\\", "/")
        match = _IMAGE.fullmatch(path)
        if not match or path.startswith("__MACOSX/"):
            continue
        if why := _fault(info, path) or _foreign(match, subject, task):
            refused[why].append(info.filename)
        elif its_task := (match["task"] or task or "").upper():
            member = Member(info.filename, info.file_size, info.CRC)
            found[its_task].append((int(match["number"]), member))
    return dict(found), [_refusal(archive, why, names) for why, names in refused.items()]


def _contents(archive: Path) -> Iterable[ZipInfo]:
    try:
        with ZipFile(archive) as opened:
            members = {info.filename: info for info in opened.infolist()}.values()
        room = archive.stat().st_size
    except _DAMAGE as error:
        what = f"it is no zip archive that can be read ({reason(error)})"
        raise DatasetCorrupt(archive, None, what) from error
    if sum(info.compress_size for info in members) > room:
        raise DatasetCorrupt(archive, None, "its members overlap, as no real archive's do")
    return members


def _fault(info: ZipInfo, path: str) -> str:
    """Say why a member must not be read; nothing if it may."""
    if re.match("/|[A-Za-z]:", path) or ".." in path.split("/"):
        return "its path leads out of the archive"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "it is a symbolic link"
    if info.flag_bits & 1:
        return "it is encrypted"
    dense = info.file_size > 1_000_000 and info.file_size > MAX_RATIO * info.compress_size
    if info.file_size > MAX_BYTES or dense:
        return f"it would grow to {info.file_size:,} bytes, which no frame has"
    return ""


def _foreign(match: re.Match[str], subject: str, task: str | None) -> str:
    """Say that a member is of another subject or task than its archive is named by."""
    if (match["subject"] or subject).upper() != subject:
        return f"it is {match['subject'].upper()}'s, not {subject}'s"
    if task and (match["task"] or task).upper() != task:
        return f"it is of {match['task'].upper()}, not of {task}"
    return ""


def _refusal(archive: Path, why: str, names: list[str]) -> str:
    more = f" (so are {len(names) - 1} more)" if len(names) > 1 else ""
    return f"{archive}: member {names[0]!r} is refused: {why}{more}"


def _content(opened: ZipFile, member: Member) -> bytes:
    info = opened.getinfo(member.name)
    if (info.file_size, info.CRC) != (member.size, member.crc):
        raise ValueError("the archive has been changed since it was listed")
    with _opened(opened, member) as stream:
        return stream.read()


def _header(opened: ZipFile, member: Member) -> Header | str:
    try:
        with _opened(opened, member) as stream:
            return read_header(stream)
    except _DAMAGE as error:
        return reason(error)


def _opened(opened: ZipFile, member: Member) -> IO[bytes]:
    try:
        return opened.open(member.name)
    except NotImplementedError:
        method = opened.getinfo(member.name).compress_type
        known = f" ({METHODS[method]})" if method in METHODS else ""
        what = f"compression method {method}{known} is not supported: unpack the archive"
        raise ValueError(what) from None
