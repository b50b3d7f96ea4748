"""Draws the pictures of the embedded dataset that the docs show, into `docs/images`."""

from __future__ import annotations

from pathlib import Path

from bench.report.faces import contact_sheet, time_strip

IMAGES = Path(__file__).with_name("images")


def main() -> None:
    """Draw the contact sheet (subjects x action units) and one recording over time."""
    IMAGES.mkdir(exist_ok=True)
    contact_sheet(IMAGES / "synthetic_faces.png")
    time_strip(IMAGES / "synthetic_time.png")


if __name__ == "__main__":
    main()
