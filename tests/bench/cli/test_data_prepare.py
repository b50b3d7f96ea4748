"""`data prepare` as a person sees it: what was decoded, what was there, what is left out."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.cli_driver import Person, quoted
from tests.helpers.dataset_trees import make_bp4d_tree

ROOT = Path(__file__).parents[3]


@pytest.fixture
def person(tmp_path, monkeypatch, capsys):
    tree = tmp_path / "tree"
    make_bp4d_tree(tree, subjects=("F001", "F003"), tasks=("T1",), size=(60, 48))
    return Person(tmp_path, tmp_path / "cache", tree, monkeypatch, capsys)


def prepares(person, more=""):
    where = ("--root", person.root, "--cache", person.cache, "--size", 16, "--workers", 1)
    return person.types(f"data prepare --dataset bp4d {more}", *where)


def test_what_was_decoded_is_told_with_its_speed_and_then_what_was_there(person):
    first = prepares(person)
    assert first.code == 0
    assert re.search(
        r"decoded 40 frames in [\d.]+ s: [\d,]+ frames/s; 0 were there; 0 cannot be read", first.out
    )
    again = prepares(person)
    assert re.search(r"decoded 0 frames in [\d.]+ s; 40 were there; 0 cannot be read", again.out)
    assert "frames/s" not in again.out


def test_a_broken_image_is_named_and_tried_again_each_time(person):
    image = person.root / "Sequences" / "F001" / "T1" / "0012.jpg"
    whole, when = image.read_bytes(), image.stat().st_mtime_ns
    image.write_bytes(b"\0" * len(whole))
    os.utime(image, ns=(when, when))
    for _ in range(2):
        answer = prepares(person)
        assert answer.code == 0
        assert re.search(r"note: .*F001/T1/0012\.jpg: .*not a JPEG or PNG", answer.err)
        assert "1 cannot be read" in answer.out
    image.write_bytes(whole)
    os.utime(image, ns=(when, when))
    healed = prepares(person)
    assert "0012" not in healed.err
    assert "decoded 20 frames" in healed.out
    assert "0 cannot be read" in healed.out


PREPARE = (
    "data prepare --set synthetic.subjects=3 --set synthetic.tasks=T1,T2,T3 --workers 2 "
    "--set synthetic.frames=30"
)
RUN = PREPARE.replace("data prepare", "run --methods supervised")


@pytest.mark.parametrize(
    ("command", "how"),
    [(f"{PREPARE} --size 16", signal.SIGINT), (f"{RUN} --set data.size=16", signal.SIGTERM)],
)
def test_ctrl_c_and_kill_end_it_with_a_sentence_and_it_goes_on_later(person, command, how):
    cache = f" --cache {quoted(person.cache)}"
    options = command + cache + (f" --results {quoted(person.results)}" if "run" in command else "")
    work = subprocess.Popen(
        [sys.executable, "-m", "bench", *shlex.split(options)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(person.cache.glob("*/journal.jsonl")):
        assert work.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    work.send_signal(how)
    out, err = work.communicate(timeout=120)
    assert work.returncode == 130
    assert out == ""
    assert "stopped: decoded frames are kept, and the same command goes on from here" in err
    assert "Traceback" not in err
    again = person.types(f"{PREPARE} --size 16" + cache).out
    decoded, there = re.search(r"decoded ([\d,]+) .* ([\d,]+) were there", again).groups()
    assert int(there.replace(",", "")) > 0
    assert int(decoded.replace(",", "")) > 0


@pytest.mark.parametrize(("more", "side"), [("", 64), ("--preset paper", 224), ("--size 16", 16)])
def test_frames_are_stored_as_the_preset_takes_them(person, more, side):
    """So that `run`, asked alike, decodes nothing again."""
    where = ("--root", person.root, "--cache", person.cache, "--workers", 1)
    answer = person.types(f"data prepare --dataset bp4d {more}", *where)
    assert f"frames of {side} px" in answer.out
