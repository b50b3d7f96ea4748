"""The manifest's page works as it stands: its table is read, its commands run."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.app import main
from datasets.manifest import Manifest

PAGE = (Path(__file__).parents[1] / "docs/datasets/manifest.md").read_text(encoding="utf-8")
((NAME, TABLE),) = re.findall(r"^```csv (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
((COMMANDS),) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ROWS = list(csv.DictReader(io.StringIO(TABLE)))


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the page's table, and pictures where it says they are."""
    desk = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(0)
    for row in ROWS:
        picture = desk / Path(NAME).parent / row["path"]
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(picture)
    (desk / NAME).write_text(TABLE)
    return desk


def test_the_pages_commands_work_one_after_the_other(desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    monkeypatch.delenv("AU_BENCH_CACHE", raising=False)
    said = []
    for line in COMMANDS.splitlines():
        python, *words = shlex.split(line)
        assert (python, words[:2]) == ("python", ["-m", "bench"])
        monkeypatch.setattr(sys, "argv", words[1:])
        with pytest.raises(SystemExit) as left:
            main()
        said.append("".join(capsys.readouterr()))
        assert not left.value.code, said[-1]
    prepared, ran, table = said
    assert f"4 sequences, {len(ROWS)} frames of 64 px" in prepared
    assert "no face boxes or landmarks: centre crop for 4 of 4 sequences" in prepared
    assert "1 done" in ran.splitlines()
    (record,) = desk.glob("results/runs/*/record.json")
    (warning,) = json.loads(record.read_text())["warnings"]
    assert warning.startswith("no face boxes or landmarks: centre crop for 4 of 4")
    assert re.search(r"^\| supervised +\|", table, re.MULTILINE)


def test_the_pages_table_is_read_as_the_page_says(desk):
    sequences = {s.subject: s for s in Manifest((desk / NAME).parent).sequences()}
    assert [s.coded.tolist() for s in (sequences["ada"], sequences["ben"])] == [
        [True, False, True, True],
        [True, True, False, True],
    ]
    assert sequences["cat"].labels[3].tolist() == [-1, 0]


def test_the_page_names_every_option_and_every_column_that_is_known():
    known = PAGE.partition("## Options")[2].partition("\n## ")[0]
    for key in Manifest.option_help:
        assert re.search(rf"^\|.*`{key}`.*\|", known, re.MULTILINE), key
    columns = PAGE.partition("## Columns")[2].partition("\n## ")[0]
    for column in ("path", "video", "subject", "sequence", "frame", "sex", "fold", "x0", "p0_x"):
        assert f"`{column}`" in columns, column
