"""Mutations of files, for fuzz tests: what copying, editing and malice do to bytes."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

TOKENS = (
    *(b"", b"\n", b"\r", b"\r\n\r\n", b",", b";", b"\t", b" ", b'"', b"'", b"\\", b"#"),
    *(b"NA", "\u00a0".encode(), "\u202f".encode(), b"\xfe\xff", b"\xff\xd9", b"\xff\xda"),
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", "é".encode(), b"\x1a"),
    *(b"-1", b"9", b"2", b"0.5", b"nan", b"inf", b"1e999", b"1e300", b"-0", b"0x10", b"1_0"),
    *(b"9" * 30, b"7" * 5000, b"True", b"None", b"=1+1"),
    *(b"../../x.jpg", b"/etc/hostname", b"a/../b", b"C:\\x", b"."),
)


@dataclass(frozen=True)
class Edit:
    """One edit; places are shares of the file's length, in 1/65536."""

    kind: str
    at: int
    to: int
    token: bytes

    def apply(self, data: bytes) -> bytes:
        """Return the edited bytes."""
        a, b = sorted(place * len(data) >> 16 for place in (self.at, self.to))
        if self.kind == "cell":
            return self._cell(data, a)
        b = min(b, a + 64) if self.kind in ("cut", "flip") else b
        return {
            "flip": data[:a] + bytes(byte ^ (1 + self.to % 255) for byte in data[a:b]) + data[b:],
            "cut": data[:a] + data[b:],
            "truncate": data[:a],
            "insert": data[:a] + self.token + data[a:],
            "repeat": data[:b] + data[a:b][:4096] + data[b:],
            "zero": data[:a] + bytes(len(data[a:b])) + data[b:],
        }[self.kind]

    def _cell(self, data: bytes, at: int) -> bytes:
        """Put the token in the place of the cell of a table that is there."""
        separators = b",\n"
        start = max(data.rfind(bytes([s]), 0, at) for s in separators) + 1
        ends = [end for s in separators if (end := data.find(bytes([s]), start)) >= 0]
        return data[:start] + self.token + data[min(ends, default=len(data)) :]


_PLACES = st.integers(0, 65535)
_TOKENS = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8))


def edits(*kinds: str) -> st.SearchStrategy[list[Edit]]:
    """Draw one to four edits."""
    edit = st.builds(Edit, st.sampled_from(kinds), _PLACES, _PLACES, _TOKENS)
    return st.lists(edit, min_size=1, max_size=4)


TEXT = ("cell", "cell", "cell", "flip", "cut", "truncate", "insert", "repeat")
BINARY = ("flip", "flip", "cut", "truncate", "insert", "repeat", "zero")
