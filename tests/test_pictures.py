"""The pictures of the embedded dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from docs.pictures import contact_sheet, time_strip


def grey(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def test_a_contact_sheet_shows_each_subject_at_rest_and_with_each_au(tmp_path):
    contact_sheet(tmp_path / "deep" / "sheet.png", subjects=["F001"], side=48)
    contact_sheet(tmp_path / "two.png", subjects=["F001", "M001"], side=48)
    one, two = grey(tmp_path / "deep" / "sheet.png"), grey(tmp_path / "two.png")
    assert one.shape[1] == two.shape[1]
    assert one.shape[0] < two.shape[0]
    assert two.std() > 20


def test_a_time_strip_has_a_panel_for_every_sampled_frame(tmp_path):
    time_strip(tmp_path / "few.png", every=40, side=48)
    time_strip(tmp_path / "more.png", every=20, side=48)
    assert grey(tmp_path / "few.png").shape[1] < grey(tmp_path / "more.png").shape[1]
