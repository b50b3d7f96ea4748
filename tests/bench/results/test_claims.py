import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from bench.results import claims
from bench.results import claims as _claim_files
from bench.results.claims import (
    ClaimLost,
    ClaimWatch,
    claim,
    free_lost,
    is_dead,
    read_claim,
    release,
    renew,
    seems_lost,
)
from bench.system.files import RecordError
from bench.system.processes import _start_time, process_name

ELSEWHERE = "another machine 1 2"


CLAIM = """
import sys; from pathlib import Path; from bench.results.claims import claim
claim(Path(sys.argv[1]), launcher=sys.argv[2])
"""


def claimed_by_the_dead(folder, launcher=""):
    """Claim a folder in a process that then ends without a word."""
    subprocess.run([sys.executable, "-c", CLAIM, folder, launcher], check=True)


def moved_elsewhere(held):
    """Make a claim look as if made on another machine, where no process id can be looked up."""
    values = json.loads(held.path.read_text())
    held.path.write_text(json.dumps({**values, "process": ELSEWHERE, "launcher": ELSEWHERE}))


def name_beside(process, pid):
    """Name another process of the same machine."""
    return " ".join([*process.split()[:-2], str(pid), _start_time(pid)])


def all_at_once(act, threads=12):
    """Let many threads do the same at the same moment; returns what each got."""
    barrier, got = threading.Barrier(threads), []

    def run():
        barrier.wait()
        got.append(act())

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return got


class Clock:
    """Stands in for `time` in the module under test: both clocks move only when told to."""

    def __init__(self):
        self.wall, self.ran = 1e9, 0.0

    def time(self):
        return self.wall

    def monotonic(self):
        return self.ran


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(claims, "time", clock)
    return clock


def test_a_claimed_cell_is_nobody_elses_until_it_is_given_back(tmp_path):
    held = claim(tmp_path, "gpu 0")
    assert claim(tmp_path) is None
    seen = read_claim(tmp_path)
    assert (seen.pid, seen.slot, seen.token) == (os.getpid(), "gpu 0", held.token)
    release(held, over=False)
    assert read_claim(tmp_path) is None
    assert claim(tmp_path).number == 2


def test_a_cell_that_is_over_keeps_no_trace_of_its_claims(tmp_path):
    release(claim(tmp_path), over=False)
    release(claim(tmp_path), over=True)
    assert list(tmp_path.iterdir()) == []


def test_of_many_at_the_same_moment_one_gets_the_cell(tmp_path):
    for round_ in range(20):
        got = all_at_once(lambda: claim(tmp_path / str(round_)))  # noqa: B023  joined in the round
        assert sum(held is not None for held in got) == 1


def test_of_many_that_take_over_from_a_dead_process_one_succeeds(tmp_path):
    claimed_by_the_dead(tmp_path)
    got = all_at_once(lambda: claim(tmp_path))
    winners = [held for held in got if held]
    assert [held.number for held in winners] == [2]
    assert read_claim(tmp_path).token == winners[0].token


def test_an_ended_process_is_known_at_once_a_living_one_is_not_dead(tmp_path):
    held = claim(tmp_path / "mine")
    claimed_by_the_dead(tmp_path / "theirs")
    assert not is_dead(held)
    assert is_dead(read_claim(tmp_path / "theirs"))


def test_a_process_id_that_was_given_to_another_process_is_not_the_claims(tmp_path):
    held = claim(tmp_path)
    assert is_dead(replace(held, process=held.process + "0"))


def test_a_killed_process_that_nobody_has_waited_for_is_dead(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mine = claim(tmp_path)
    held = replace(mine, process=name_beside(mine.process, child.pid))
    assert not is_dead(held)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(held)
    child.communicate()


def test_a_living_launcher_frees_what_its_dead_worker_held(tmp_path):
    claimed_by_the_dead(tmp_path, process_name())
    lost = read_claim(tmp_path)
    assert is_dead(lost)
    assert claim(tmp_path) is None
    assert sorted(all_at_once(lambda: free_lost(lost), threads=4)) == [False, False, False, True]
    assert claim(tmp_path).losses == 1


def test_elsewhere_nobody_is_dead_for_certain(tmp_path):
    claimed_by_the_dead(tmp_path)
    moved_elsewhere(read_claim(tmp_path))
    assert not is_dead(read_claim(tmp_path))
    assert claim(tmp_path) is None


def test_a_heartbeat_tells_how_far_the_cell_is(tmp_path):
    held = claim(tmp_path)
    beat = renew(held, step=30, total=100)
    assert (read_claim(tmp_path).step, read_claim(tmp_path).total) == (30, 100)
    assert read_claim(tmp_path).heartbeat == beat.heartbeat


def test_a_heartbeat_that_stands_still_while_watched_is_stale(tmp_path, clock):
    still, beating = claim(tmp_path / "still"), claim(tmp_path / "beating")
    moved_elsewhere(still)
    watch = ClaimWatch(patience=60)
    verdicts = []
    for second in range(0, 100, 5):
        clock.ran = clock.wall = second
        if second % 10 == 0:
            beating = renew(beating, step=second)
        assert not watch.stale(read_claim(tmp_path / "beating"))
        verdicts.append(watch.stale(read_claim(tmp_path / "still")))
    assert verdicts == [second >= 60 for second in range(0, 100, 5)]
    assert claim(tmp_path / "still", watch=watch).number == 2


@pytest.mark.parametrize("jump", [-1e8, 1e8])
def test_a_clock_that_jumps_makes_no_claim_stale(tmp_path, clock, jump):
    held = claim(tmp_path)
    moved_elsewhere(held)
    watch = ClaimWatch(patience=60)
    watch.stale(read_claim(tmp_path))
    clock.wall += jump
    clock.ran += 5
    assert not watch.stale(read_claim(tmp_path))


def test_an_observer_that_slept_draws_no_conclusion_from_the_gap(tmp_path, clock):
    moved_elsewhere(claim(tmp_path))
    watch = ClaimWatch(patience=60)
    watch.stale(read_claim(tmp_path))
    clock.ran += 3600
    assert not watch.stale(read_claim(tmp_path))


def test_one_look_guesses_by_the_clocks(tmp_path, clock):
    held = claim(tmp_path)
    assert not seems_lost(held)
    clock.wall += claims.CLAIM_TIMEOUT + 1
    assert seems_lost(held)


def test_the_one_that_was_taken_over_learns_it_and_does_no_harm(tmp_path):
    slow = claim(tmp_path)
    heir = replace(slow, number=2, token="heir")
    _claim_files.write_claim(heir)
    with pytest.raises(ClaimLost, match="taken over by"):
        renew(slow, step=1)
    release(slow, over=True)
    assert read_claim(tmp_path).token == "heir"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', "null"])
def test_a_torn_claim_holds_until_it_has_stood_still(tmp_path, clock, content):
    (tmp_path / "claim-1.json").write_text(content)
    assert read_claim(tmp_path).host == "unknown"
    assert claim(tmp_path) is None
    watch = ClaimWatch(patience=20)
    got = []
    for _ in range(4):
        got.append(claim(tmp_path, watch=watch))
        clock.ran += 10
    assert [held.number for held in got if held] == [2]


def test_a_full_disk_stops_no_heart(tmp_path, monkeypatch):
    held = claim(tmp_path)
    before = read_claim(tmp_path)
    os.utime(held.path, (1, 1))
    monkeypatch.setattr(claims, "write_claim", _no_space)
    renew(held, step=1)
    assert read_claim(tmp_path).changed >= before.changed


def _no_space(held):
    raise RecordError("cannot write: No space left on device")


def test_a_disk_without_links_serves_as_well(tmp_path, monkeypatch):
    def refuse(*paths):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(_claim_files.os, "link", refuse)
    got = all_at_once(lambda: claim(tmp_path))
    assert sum(held is not None for held in got) == 1
    assert read_claim(tmp_path).pid == os.getpid()


def test_a_link_whose_answer_was_lost_still_counts(tmp_path, monkeypatch):
    link = os.link

    def link_and_deny(*paths):
        link(*paths)
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(_claim_files.os, "link", link_and_deny)
    assert claim(tmp_path) is not None


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot write .*file"):
        claim(tmp_path / "file" / "cell")
