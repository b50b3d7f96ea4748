"""The DISFA reader on small copies with the traps of real ones, and on the rendered tree."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.io import savemat

from bench.frame_store.store import open_store
from datasets._base import UNCODED, DatasetCorrupt, DatasetError, DatasetMissing, Sequence
from datasets._disfa import TRACKER_FAILURES
from datasets.disfa import Disfa
from tests.helpers.disfa_trees import (
    AUS,
    avi_chunk,
    make_disfa_tree,
    make_video,
    position_of,
    write_intensities,
    write_landmarks,
)

BENCHMARK = [1, 2, 4, 6, 9, 12, 25, 26]


def read(root: Path, **options: object) -> dict[str, Sequence]:
    """Read a copy that must have no problems; recordings by person."""
    sequences, problems = read_with_problems(root, **options)
    assert problems == []
    return sequences


def read_with_problems(root: Path, **options: object) -> tuple[dict[str, Sequence], list[str]]:
    dataset = Disfa(root, **options)
    return {sequence.subject: sequence for sequence in dataset.sequences()}, dataset.problems


def label_file(root: Path, au: int = 4) -> Path:
    return root / f"ActionUnit_Labels/SN003/SN003_au{au}.txt"


def plain_labels(labels: Path, person: str, threshold: int) -> dict[int, list[int]]:
    """Read a person's label files with nothing but csv: frame -> labels of `BENCHMARK`."""
    rows: dict[int, list[int]] = {}
    for au in BENCHMARK:
        with (labels / person / f"{person}_au{au}.txt").open(newline="") as stream:
            for frame, intensity in csv.reader(stream):
                rows.setdefault(int(frame), []).append(int(int(intensity) >= threshold))
    return rows


def positions(sequence: Sequence) -> list[int]:
    """Which pictures of the video the sequence shows."""
    return [position_of(f) for f in sequence.source.read() if isinstance(f, np.ndarray)]


# --- what is read -------------------------------------------------------------------------------


def test_a_recording_a_person_with_the_labels_of_the_benchmark(tmp_path: Path) -> None:
    truth = make_disfa_tree(tmp_path)
    sequences = read(tmp_path)
    assert [s.name for s in sequences.values()] == ["SN001_left", "SN003_left", "SN006_left"]
    columns = [AUS.index(au) for au in BENCHMARK]
    for person, sequence in sequences.items():
        assert sequence.frames.tolist() == list(range(1, 13))
        np.testing.assert_array_equal(sequence.labels, truth[person][:, columns] >= 2)
        np.testing.assert_array_equal(sequence.intensities, truth[person][:, columns])
        assert (sequence.landmarks, sequence.boxes) == (None, None)
    assert positions(sequences["SN006"]) == list(range(12))
    assert sequences["SN006"].source.size() == (24, 32)


@pytest.mark.parametrize("threshold", [1, 2, 5])
def test_every_label_is_the_one_a_plain_reader_finds(threshold: int, tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, frames=40)
    for person, sequence in read(tmp_path, threshold=str(threshold)).items():
        plain = plain_labels(tmp_path / "ActionUnit_Labels", person, threshold)
        assert sequence.labels.tolist() == [plain[frame] for frame in sequence.frames.tolist()]


@pytest.mark.parametrize("threshold", range(1, 6))
def test_an_intensity_at_the_threshold_counts_as_present(threshold: int, tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003"], frames=6)
    write_intensities(
        tmp_path / "ActionUnit_Labels/SN003", "SN003", np.repeat(np.arange(6)[:, None], 12, axis=1)
    )
    labels = read(tmp_path, threshold=threshold)["SN003"].labels
    assert labels[threshold - 1].tolist() == [0] * 8
    assert labels[threshold].tolist() == [1] * 8


def test_two_is_the_threshold_of_the_literature(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path)
    default, two = read(tmp_path)["SN001"], read(tmp_path, threshold="2")["SN001"]
    np.testing.assert_array_equal(default.labels, two.labels)


def test_other_aus_can_be_asked_for(tmp_path: Path) -> None:
    truth = make_disfa_tree(tmp_path)
    everything = Disfa(tmp_path, aus="all")
    assert everything.aus == AUS
    np.testing.assert_array_equal(everything.sequences()[0].labels, truth["SN001"] >= 2)
    few = Disfa(tmp_path, aus="12, 5")
    assert few.aus == (5, 12)
    np.testing.assert_array_equal(few.sequences()[0].labels, truth["SN001"][:, [3, 6]] >= 2)


@pytest.mark.parametrize("base", ["", "DISFA"])
@pytest.mark.parametrize(
    ("camera", "videos"),
    [
        ("left", "Videos_LeftCamera/LeftVideo{}_comp.avi"),
        ("left", "Videos_LeftCamera/LeftVideo{}_Comp.avi"),
        ("left", "Video_LeftCamera/LeftVideo{}_comp.avi"),
        ("left", "Videos_LeftCamera/Videos_LeftCamera/LeftVideo{}_comp.avi"),
        ("right", "Video_RightCamera/RightVideo{}_Comp.avi"),
        ("right", "Videos_RightCamera/RightVideo{}_comp.avi"),
    ],
)
def test_the_spellings_of_known_copies_are_found(
    base: str, camera: str, videos: str, tmp_path: Path
) -> None:
    make_disfa_tree(tmp_path / base, videos=videos, labels="ActionUnits_Labels")
    sequences = read(tmp_path, camera=camera)
    assert [s.name for s in sequences.values()] == [f"{p}_{camera}" for p in sequences]
    assert positions(sequences["SN001"]) == list(range(12))


def test_either_camera_is_read_where_both_are_there(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path)
    for person in ("SN001", "SN003", "SN006"):
        make_video(tmp_path / f"Video_RightCamera/RightVideo{person}_comp.avi", 12, (16, 48))
    assert read(tmp_path)["SN001"].source.size() == (24, 32)
    assert read(tmp_path, camera="right")["SN001"].source.size() == (16, 48)


def test_files_that_are_neither_videos_nor_labels_are_passed_over(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path)
    for stray in (
        "Videos_LeftCamera/._LeftVideoSN001_comp.avi",
        "Videos_LeftCamera/Thumbs.db",
        "ActionUnit_Labels/.DS_Store",
        "ActionUnit_Labels/SN003/SN003_au4.txt~",
        "ActionUnit_Labels/SN003/readme.txt",
    ):
        (tmp_path / stray).write_text("x")
    assert list(read(tmp_path)) == ["SN001", "SN003", "SN006"]


def test_line_ends_marks_and_blanks_of_other_systems_do_no_harm(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path)
    before = read(tmp_path)["SN003"].labels
    text = label_file(tmp_path).read_text().replace(",", ", ").replace("\n", "\r\n") + "\r\n"
    label_file(tmp_path).write_text(text, encoding="utf-8-sig", newline="")
    np.testing.assert_array_equal(read(tmp_path)["SN003"].labels, before)


def test_the_folds_are_those_the_field_compares_on() -> None:
    folds = Disfa().folds()
    assert list(map(len, folds.groups)) == [9, 9, 9]
    assert len(set().union(*folds.groups)) == 27
    assert folds.test_subjects(2) == {f"SN{n:03}" for n in (3, 4, 5, 7, 8, 17, 23, 25, 29)}


# --- lengths that differ ------------------------------------------------------------------------


def test_a_video_one_frame_short_loses_the_last_label_and_shifts_none(tmp_path: Path) -> None:
    truth = make_disfa_tree(tmp_path, subjects=["SN003"], frames=12, video_frames=11)
    sequences, problems = read_with_problems(tmp_path, aus="all")
    assert problems == [
        "SN003: the video has 11 frames, the labels go to 12; labels without a picture left out: 12"
    ]
    np.testing.assert_array_equal(sequences["SN003"].labels, truth["SN003"][:11] >= 2)
    assert positions(sequences["SN003"]) == list(range(11))


def test_labels_one_frame_short_lose_the_last_picture_and_shift_none(tmp_path: Path) -> None:
    truth = make_disfa_tree(tmp_path, subjects=["SN010"], frames=11, video_frames=12)
    sequences, problems = read_with_problems(tmp_path, aus="all")
    assert problems == [
        "SN010: the video has 12 frames, the labels go to 11; pictures without a label left out: 12"
    ]
    np.testing.assert_array_equal(sequences["SN010"].labels, truth["SN010"] >= 2)
    assert positions(sequences["SN010"]) == list(range(11))


def test_a_gap_in_the_labels_moves_nothing(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003"])
    for au in AUS:
        lines = label_file(tmp_path, au).read_text().splitlines(keepends=True)
        label_file(tmp_path, au).write_text("".join(lines[:4] + lines[6:]))
    sequences, problems = read_with_problems(tmp_path)
    assert problems[0].endswith("; pictures without a label left out: 5-6")
    assert positions(sequences["SN003"]) == [0, 1, 2, 3, *range(6, 12)]


def test_a_header_that_promises_billions_costs_nothing(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003"])
    file = tmp_path / "Videos_LeftCamera/LeftVideoSN003_comp.avi"
    data = bytearray(file.read_bytes())
    length = data.index(b"strh") + 8 + 32
    assert int.from_bytes(data[length : length + 4], "little") == 12
    data[length : length + 4] = (2_000_000_000).to_bytes(4, "little")
    file.write_bytes(data)
    sequences, problems = read_with_problems(tmp_path)
    assert problems[0].endswith(
        "the labels go to 12; pictures without a label left out: 13-2000000000"
    )
    assert positions(sequences["SN003"]) == list(range(12))


def test_an_au_whose_file_is_shorter_or_missing_is_uncoded_there(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003"])
    lines = label_file(tmp_path, 4).read_text().splitlines(keepends=True)
    label_file(tmp_path, 4).write_text("".join(lines[:9]))
    label_file(tmp_path, 26).unlink()
    sequences, problems = read_with_problems(tmp_path)
    assert problems == [
        "SN003: AU 4 has no label on frames 10-12 (other AUs have)",
        "SN003: there is no label file of AU 26: it counts as not coded",
    ]
    uncoded = sequences["SN003"].labels == UNCODED
    assert uncoded[:, 2].tolist() == [False] * 9 + [True] * 3
    assert uncoded[:, 7].all()
    assert uncoded.sum() == 3 + 12


def test_a_video_whose_header_promises_more_than_it_holds_is_reported(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path / "a", subjects=["SN003"], frames=12)
    file = tmp_path / "a/Videos_LeftCamera/LeftVideoSN003_comp.avi"
    data = file.read_bytes()
    file.write_bytes(data[: avi_chunk(data, 8)[0]])
    dataset = Disfa(tmp_path / "a")
    store = open_store(dataset, name="disfa", size=16, cache=tmp_path / "cache", workers=1)
    (stored,) = store.sequences
    assert stored.frames.tolist() == list(range(1, 9))
    where = "Videos_LeftCamera/LeftVideoSN003_comp.avi: the video ends after 8 frames"
    assert f"{where}; 4 frames of SN003_left left out" in store.problems


# --- tracker failures and landmarks -------------------------------------------------------------


def test_the_failure_ranges_are_as_long_as_published() -> None:
    lengths = {s: sum(b - a + 1 for a, b in r) for s, r in TRACKER_FAILURES.items()}
    assert lengths["SN021"] == 3052
    # The frames that JAA-Net's lists have fewer than ME-GraphAU's, test part by test part.
    lost = [sum(lengths.get(s, 0) for s in part) for part in Disfa().folds().groups]
    assert lost == [43_604 - 43_173, 43_605 - 40_344, 43_605 - 42_627]


def test_labels_of_failed_frames_can_be_dropped(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN001"], frames=425)
    kept, dropped = read(tmp_path), read(tmp_path, tracker_failures="drop")
    failed = np.arange(398, 421) - 1
    assert (kept["SN001"].labels != UNCODED).all()
    assert (dropped["SN001"].labels[failed] == UNCODED).all()
    assert np.isnan(dropped["SN001"].intensities[failed]).all()
    assert np.isfinite(kept["SN001"].intensities).all()
    rest = np.delete(np.arange(425), failed)
    np.testing.assert_array_equal(dropped["SN001"].labels[rest], kept["SN001"].labels[rest])
    assert dropped["SN001"].source.fingerprint() == kept["SN001"].source.fingerprint()


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ([f"SN003_{k:04}_lm.mat" for k in range(12)], 0),
        ([f"l{k:05}_lm.mat" for k in range(1, 13)], 0),
        ([f"l{k:05}_lm.mat" for k in range(13)], 1),  # one too many: the first is not used
        ([f"l{k:05}_lm.mat" for k in range(12)], 0),
        ([f"SN003_{k:04}_lm.mat" for k in range(13)], 1),
    ],
)
@pytest.mark.parametrize("home", ["tmp_frame_lm", "frame_lm", "."])
def test_landmarks_of_both_namings_meet_their_frames(
    home: str, names: list[str], first: int, tmp_path: Path
) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003"])
    write_landmarks(tmp_path / "Landmark_Points/SN003" / home, names)
    points = read(tmp_path)["SN003"].landmarks
    assert points is not None
    assert points.shape == (12, 49, 2)
    assert points[:, 0, 1].tolist() == list(range(first, first + 12))
    # The 49 are the 66 without the jaw line: the 66 lack the inner mouth corners already.
    assert points[0, :, 0].tolist() == list(range(17, 66))


def test_landmarks_can_be_refused_and_are_of_the_left_video_only(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003"])
    make_video(tmp_path / "Video_RightCamera/RightVideoSN003_comp.avi", 12)
    write_landmarks(
        tmp_path / "Landmark_Points/SN003/tmp_frame_lm", [f"l{k:05}_lm.mat" for k in range(1, 13)]
    )
    assert read(tmp_path, features="none")["SN003"].landmarks is None
    assert read(tmp_path, camera="right")["SN003"].landmarks is None
    (tmp_path / "Landmark_Points").rename(tmp_path / "elsewhere")
    assert read(tmp_path)["SN003"].landmarks is None
    assert read(tmp_path, features="elsewhere")["SN003"].landmarks is not None
    with pytest.raises(DatasetMissing, match=r"nowhere: no folder SN001 is there: .* features"):
        Disfa(tmp_path, features="nowhere").sequences()


def test_landmarks_of_failed_frames_are_not_believed(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN001"], frames=425)
    folder = tmp_path / "Landmark_Points/SN001/tmp_frame_lm"
    write_landmarks(folder, [f"SN001_{k:04}_lm.mat" for k in range(425)])
    points = read(tmp_path)["SN001"].landmarks
    assert points is not None
    assert np.flatnonzero(np.isnan(points).any(axis=(1, 2))).tolist() == list(range(397, 420))


def test_missing_and_damaged_landmark_files_are_named_the_rest_is_used(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003"])
    folder = tmp_path / "Landmark_Points/SN003/tmp_frame_lm"
    write_landmarks(folder, [f"l{k:05}_lm.mat" for k in range(1, 13)])
    (folder / "l00005_lm.mat").unlink()
    savemat(folder / "l00007_lm.mat", {"pts": np.zeros((68, 2))})
    (folder / "l00008_lm.mat").write_bytes(b"")
    savemat(folder / "l00009_lm.mat", {"points": np.zeros((66, 2))})
    savemat(folder / "l00010_lm.mat", {"pts": np.zeros((66, 2))})  # no face was found
    savemat(folder / "l00011_lm.mat", {"pts": np.full((66, 2), 1e300)})
    sequences, problems = read_with_problems(tmp_path)
    points = sequences["SN003"].landmarks
    assert points is not None
    assert np.flatnonzero(np.isnan(points).any(axis=(1, 2))).tolist() == [4, 6, 7, 8, 9, 10]
    assert problems == [
        "SN003: no landmark file for frames 5",
        f"{folder / 'l00007_lm.mat'}: `pts` is 68 x 2, not 66 x 2; its landmarks are not used; "
        "2 more such files",
    ]


def test_landmark_files_that_end_elsewhere_say_how_they_were_taken(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003"])
    folder = tmp_path / "Landmark_Points/SN003/tmp_frame_lm"
    write_landmarks(folder, [f"l{k:05}_lm.mat" for k in range(1, 8)])
    _, problems = read_with_problems(tmp_path)
    assert problems[0] == (
        "SN003: the landmark files end with l00007_lm.mat and the video with frame 12: "
        "file 1 is taken for frame 1"
    )
    assert problems[1] == "SN003: no landmark file for frames 8-12"


def test_a_lost_last_landmark_file_moves_none_of_the_others(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003"])
    folder = tmp_path / "Landmark_Points/SN003/tmp_frame_lm"
    names = [f"l{k:05}_lm.mat" for k in range(1, 13)]
    write_landmarks(folder, names)
    whole = read(tmp_path)["SN003"].landmarks
    (folder / names[-1]).unlink()
    sequences, problems = read_with_problems(tmp_path)
    points = sequences["SN003"].landmarks
    assert points is not None
    assert whole is not None
    np.testing.assert_array_equal(points[:-1], whole[:-1])
    assert problems == ["SN003: no landmark file for frames 12"]


def test_a_person_without_landmarks_among_others_is_named(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003", "SN005"])
    names = [f"l{k:05}_lm.mat" for k in range(1, 13)]
    write_landmarks(tmp_path / "Landmark_Points/SN003/tmp_frame_lm", names)
    _, problems = read_with_problems(tmp_path)
    assert problems == ["SN005: no landmark file is there, as others have"]


def test_labels_in_two_places_are_told(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN003"])
    shutil.copytree(tmp_path / "ActionUnit_Labels", tmp_path / "ActionUnits_Labels")
    _, problems = read_with_problems(tmp_path)
    assert problems == [
        f"label folders are in {tmp_path / 'ActionUnit_Labels'} and in "
        f"{tmp_path / 'ActionUnits_Labels'}: the first are taken"
    ]


# --- what is left out and named, what stops the reading ------------------------------------------


def test_a_person_with_one_half_only_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path, subjects=["SN001", "SN002", "SN003", "SN004"])
    shutil.rmtree(tmp_path / "ActionUnit_Labels/SN001")
    (tmp_path / "Videos_LeftCamera/LeftVideoSN002_comp.avi").unlink()
    for file in (tmp_path / "ActionUnit_Labels/SN003").iterdir():
        file.unlink()
    sequences, problems = read_with_problems(tmp_path)
    assert list(sequences) == ["SN004"]
    assert problems == [
        "SN001: a video without labels, left out",
        "SN002: labels without a video, left out",
        "SN003: no label file of these AUs in ActionUnit_Labels/SN003, left out",
    ]


def test_an_unreadable_video_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path)
    video = tmp_path / "Videos_LeftCamera/LeftVideoSN003_comp.avi"
    video.write_bytes(b"")
    sequences, problems = read_with_problems(tmp_path)
    assert list(sequences) == ["SN001", "SN006"]
    assert len(problems) == 1
    assert problems[0].startswith(f"{video}: this video cannot be opened (")
    assert problems[0].endswith("); SN003 left out")


@pytest.mark.parametrize(
    ("line", "text", "complaint"),
    [
        (1, "frame,intensity", "found 'frame,intensity'; a line is frame,intensity: whole numbers"),
        (3, "3,2,1", "found '3,2,1'; a line is"),
        (3, "3", "found '3'; a line is"),
        (3, "3 2", "found '3 2'; a line is"),
        (3, "3,2.0", "found '3,2.0'; a line is"),
        (3, "three,2", "found 'three,2'; a line is"),
        (3, "3,6", "found '3,6'; .* the intensity 0 to 5"),
        (3, "3,-1", "found '3,-1'; a line is"),
        (1, "0,2", "found '0,2'; .* the frame from 1"),
        (3, "2,2", "frame 2 follows frame 2: they must increase"),
        (4, "2,2", "frame 2 follows frame 3: they must increase"),
        (3, f"{10**20},2", "found '1000"),
    ],
)
def test_a_label_file_that_breaks_the_format_is_named_with_its_line(
    line: int, text: str, complaint: str, tmp_path: Path
) -> None:
    make_disfa_tree(tmp_path)
    lines = label_file(tmp_path).read_text().splitlines()
    lines[line - 1] = text
    label_file(tmp_path).write_text("\n".join(lines))
    with pytest.raises(DatasetCorrupt, match=rf"SN003_au4\.txt, line {line}: {complaint}"):
        Disfa(tmp_path).sequences()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [(b"", "there is no label in it"), (b"\xff\xfe1\0,\0", "this is UTF-16 text")],
)
def test_a_file_that_holds_no_labels_is_named(data: bytes, complaint: str, tmp_path: Path) -> None:
    make_disfa_tree(tmp_path)
    label_file(tmp_path).write_bytes(data)
    with pytest.raises(DatasetCorrupt, match=rf"SN003_au4\.txt: {complaint}"):
        Disfa(tmp_path).sequences()


def test_two_entries_for_one_person_are_an_error_that_names_both(tmp_path: Path) -> None:
    make_disfa_tree(tmp_path)
    make_video(tmp_path / "Videos_LeftCamera/LeftVideoSN003_Comp.avi", 12)
    both = r"LeftVideoSN003_comp\.avi: LeftVideoSN003_Comp\.avi lies beside it .* SN003 too: keep"
    with pytest.raises(DatasetCorrupt, match=both):
        Disfa(tmp_path).sequences()
    (tmp_path / "Videos_LeftCamera/LeftVideoSN003_Comp.avi").unlink()
    shutil.copytree(tmp_path / "ActionUnit_Labels/SN003", tmp_path / "ActionUnit_Labels/sn003")
    with pytest.raises(DatasetCorrupt, match="sn003: SN003 lies beside it"):
        Disfa(tmp_path).sequences()


def test_a_missing_or_empty_root_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="--root"):
        Disfa(None).sequences()
    with pytest.raises(DatasetMissing, match="nowhere: there is no such folder"):
        Disfa(tmp_path / "nowhere").sequences()
    with pytest.raises(DatasetMissing, match=r"no label folder is there; .*SN001_au1\.txt"):
        Disfa(tmp_path).sequences()
    make_disfa_tree(tmp_path)
    with pytest.raises(DatasetMissing, match="no video of the right camera is there; expected"):
        Disfa(tmp_path, camera="right").sequences()
    shutil.rmtree(tmp_path / "ActionUnit_Labels")
    (tmp_path / "ActionUnit_Labels/SN099").mkdir(parents=True)
    with pytest.raises(DatasetMissing, match=r"no label meets a video \(SN099: labels without"):
        Disfa(tmp_path).sequences()


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("camera", "middle", "camera is 'middle': it may be left or right"),
        ("threshold", "0", "threshold is '0': it may be 1, 2, 3, 4 or 5"),
        ("threshold", "two", "threshold is 'two'"),
        ("aus", "7", "aus is '7': give some of 1,2,4,"),
        ("aus", "1,1", "aus is '1,1': give some of .* once each"),
        ("tracker_failures", "yes", "it may be keep or drop"),
    ],
)
def test_an_option_that_means_nothing_is_an_error(
    option: str, value: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=complaint):
        Disfa(tmp_path, **{option: value})


# --- the rendered tree --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rendered() -> Path:
    shared = os.environ.get("AU_BENCH_SHARED")
    if not shared:
        pytest.skip("AU_BENCH_SHARED does not say where the rendered video is")
    return Path(shared) / "ictface-disfa"


@pytest.mark.shared
def test_the_rendered_trees_labels_are_those_a_plain_reader_finds(rendered: Path) -> None:
    sequences, problems = read_with_problems(rendered)
    assert len(sequences) == 27
    assert sum(len(sequence.frames) for sequence in sequences.values()) == 6473
    lost = 0
    for person, sequence in sequences.items():
        plain = plain_labels(rendered / "ActionUnit_Labels", person, threshold=2)
        assert sequence.labels.tolist() == [plain[frame] for frame in sequence.frames.tolist()]
        assert sequence.frames.tolist() == list(range(1, len(sequence.frames) + 1))
        lost += len(plain) - len(sequence.frames)
    assert lost == len(problems) == 7


@pytest.mark.shared
@pytest.mark.parametrize("threshold", [1, 2])
def test_the_rendered_trees_rates_are_those_it_states(rendered: Path, threshold: int) -> None:
    sequences, _ = read_with_problems(rendered, threshold=threshold, aus="all")
    labels = np.concatenate([sequence.labels for sequence in sequences.values()])
    one = [0.085, 0.052, 0.147, 0.027, 0.105, 0.080, 0.159, 0.033, 0.042, 0.020, 0.364, 0.206]
    two = [0.077, 0.048, 0.124, 0.025, 0.091, 0.061, 0.141, 0.031, 0.040, 0.018, 0.307, 0.145]
    np.testing.assert_allclose((labels == 1).mean(axis=0), (one, two)[threshold - 1], atol=0.002)


@pytest.mark.shared
@pytest.mark.parametrize("person", ["SN001", "SN005"])
def test_the_rendered_videos_pictures_are_those_a_plain_decoder_finds(
    rendered: Path, person: str
) -> None:
    sequences, _ = read_with_problems(rendered)
    file = rendered / f"Videos_LeftCamera/LeftVideo{person}_comp.avi"
    with av.open(str(file)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for picture, other in zip(sequences[person].source.read(), plain, strict=True):
        np.testing.assert_array_equal(picture, other)
