"""The timeline: what is drawn is what the labels and the stored probabilities of a sequence say."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.report.aggregate import RunMatrix
from bench.report.metric import Scoring
from bench.report.model import NothingToShow, ReportError
from bench.report.plots.timeline import (
    UNCODED,
    UNSEEN,
    TimelineOptions,
    sure_states,
    timeline_plot,
)
from bench.results.predictions import NAME, StoredPredictions
from bench.results.pseudo_labels import ABSENT, DISCARDED, PRESENT, StoredPseudoLabels
from bench.results.pseudo_labels import NAME as PSEUDO_LABELS
from tests.helpers.cli_driver import Person
from tests.helpers.fake_records import AUS, record
from tests.helpers.results_folders import write_records

DISFA = "--dataset disfa"

# of AU12, in the order of frames
LABELS = [1, 1, 0, -1, 0, 1]
SHARES = [0.97, 0.6, 0.02, 0.5, 0.95, 0.04]


def predictions(labels=LABELS, **changes):
    """Two sequences, one frame after the other by turns and out of order; AU1 never changes."""
    order = [5, 0, 3, 1, 2, 4]
    of_one = np.array([[0, labels[at]] for at in order], dtype=np.int8)
    other = np.zeros_like(of_one)
    fields = {
        "probabilities": np.array([[0.1, SHARES[at]] for at in order] + [[0.1, 0.1]] * 6),
        "subject": np.array(["F001"] * 6 + ["F002"] * 6),
        "task": np.array(["T1"] * 12),
        "frame": np.array([10 * at for at in order] + list(range(6))),
        "aus": np.array(AUS),
        "labels": np.concatenate([of_one, other]),
    }
    return StoredPredictions(**{**fields, **changes})


def write(results, methods=("supervised", "ks"), **changes):
    records = [record(method, 0.1) for method in methods]
    write_records(results, records)
    for each in records:
        with (results / "runs" / each.id / NAME).open("wb") as stream:
            predictions(**changes).save(stream)
    return RunMatrix.of(records, Scoring(results=results))


def test_a_frame_is_sure_or_discarded() -> None:
    shares = np.array([0.0, 0.05, 0.051, 0.5, 0.949, 0.95, 1.0])
    states = [ABSENT, ABSENT, DISCARDED, DISCARDED, DISCARDED, PRESENT, PRESENT]
    assert sure_states(shares, 0.95).tolist() == states


def test_labels_and_states_stand_in_the_order_of_frames(tmp_path) -> None:
    made = timeline_plot(write(tmp_path), 0.1, TimelineOptions())
    FigureCanvasAgg(made).draw()
    (axes,) = made.axes
    labels, *methods = axes.images[0].get_array().tolist()
    assert labels == [PRESENT, PRESENT, ABSENT, UNCODED, ABSENT, PRESENT]
    expected = [PRESENT, DISCARDED, ABSENT, DISCARDED, PRESENT, ABSENT]
    assert methods == [expected, expected]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["labels", "supervised", "ks"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "10", "20", "30", "40", "50"]
    assert made.get_suptitle().startswith("AU12 of F001 T1 at 10 % labels")


def test_one_method_alone_has_room_beside_title_and_legend(tmp_path) -> None:
    made = timeline_plot(write(tmp_path, ["ks"]), 0.1, TimelineOptions())
    FigureCanvasAgg(made).draw()  # a warning that there is no room would be an error
    rows, legend = made.axes[0].get_window_extent(), made.legends[0].get_window_extent()
    assert rows.height > 2 * 0.2 * made.dpi
    assert rows.y0 - legend.y1 < 0.5 * made.dpi


def test_the_faces_are_those_of_frames_spread_over_the_sequence(tmp_path) -> None:
    asked = []

    def faces(subject, task, frames):
        asked.append((subject, task, frames.tolist()))
        return [np.full((8, 8, 3), frame, dtype=np.uint8) for frame in frames]

    made = timeline_plot(write(tmp_path), 0.1, TimelineOptions(faces=faces))
    FigureCanvasAgg(made).draw()
    assert asked == [("F001", "T1", [0, 10, 20, 30, 40, 50])]
    strip = made.axes[0].images[0].get_array()
    assert strip.shape == (8, 48, 3)
    assert strip[0, ::8, 0].tolist() == [0, 10, 20, 30, 40, 50]
    boxes = [axes.get_window_extent() for axes in made.axes]
    assert boxes[0].y0 >= boxes[1].y1
    assert boxes[0].y1 <= made.bbox.y1


def test_another_sequence_au_and_confidence_can_be_asked_for(tmp_path) -> None:
    options = TimelineOptions(au=1, sequence="F002/T1", confidence=0.85)
    made = timeline_plot(write(tmp_path), 0.1, options)
    assert "AU1 of F002 T1" in made.get_suptitle()
    assert set(made.axes[0].images[0].get_array().ravel().tolist()) == {ABSENT}


def test_what_was_not_tested_is_a_sentence(tmp_path) -> None:
    matrix = write(tmp_path)
    with pytest.raises(ReportError, match="no AU9 is there: choose one of 1, 12"):
        timeline_plot(matrix, 0.1, TimelineOptions(au=9))
    with pytest.raises(ReportError, match=r"F009/T1 is no sequence of these .* such are F001/T1"):
        timeline_plot(matrix, 0.1, TimelineOptions(sequence="F009/T1"))
    with pytest.raises(NothingToShow, match="holds labels"):
        timeline_plot(RunMatrix.of([record("ks", 0.1)], "last"), 0.1, TimelineOptions())


def pseudo_labelled(results):
    """Runs of two methods, of which one made pseudo labels: of AU12, out of the frames' order."""
    records = [record(method, 0.1) for method in ("supervised", "ks")]
    write_records(results, records)
    order = [3, 0, 2, 1, 4]
    truth, codes = [1, 1, 0, -1, 0], [1, 0, 2, -1, 0]
    stored = StoredPseudoLabels(
        codes=np.array([[-1, codes[at]] for at in order], dtype=np.int8),
        steps=np.zeros(5, dtype=np.int32),
        subject=np.array(["F001"] * 5),
        task=np.array(["T1"] * 5),
        frame=np.array([10 * at for at in order]),
        aus=np.array(AUS),
        labels=np.array([[0, truth[at]] for at in order], dtype=np.int8),
        labelled=np.array([at == 3 for at in order]),
    )
    with (results / "runs" / records[1].id / PSEUDO_LABELS).open("wb") as stream:
        stored.save(stream)
    return RunMatrix.of(records, Scoring(results=results))


def test_pseudo_labels_of_a_training_sequence_stand_below_its_labels(tmp_path) -> None:
    made = timeline_plot(pseudo_labelled(tmp_path), 0.1, TimelineOptions(training=True))
    FigureCanvasAgg(made).draw()
    (axes,) = made.axes
    labels, told = axes.images[0].get_array().tolist()
    assert labels == [PRESENT, PRESENT, ABSENT, UNCODED, ABSENT]
    assert told == [PRESENT, ABSENT, DISCARDED, UNSEEN, ABSENT]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["labels", "ks"]
    assert axes.lines[-1].get_xdata().tolist() == [3]
    assert "the pseudo labels of the step that last held a frame" in made.get_suptitle()


def two_datasets(person):
    """One dataset codes AU 1 and 12, the other AU 1 and 25."""
    for dataset, aus in (("synthetic", AUS), ("disfa", [1, 25])):
        each = record("ks", 0.1, dataset=dataset, aus=aus)
        write_records(person.results, [each])
        with (person.results / "runs" / each.id / NAME).open("wb") as stream:
            predictions(aus=np.array(aus)).save(stream)


def test_an_unknown_au_lists_those_of_the_records_chosen(tmp_path, monkeypatch, capsys) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    two_datasets(person)
    told = {option: person.asks(f"plot timeline --au 99 {option}").error for option in ("", DISFA)}
    assert told[""] == "no AU99 is there: choose one of 1, 12, 25"
    assert told[DISFA] == "no AU99 is there: choose one of 1, 25"


def test_an_au_that_one_dataset_codes_is_drawn_of_that_one(tmp_path, monkeypatch, capsys) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    two_datasets(person)
    answer = person.asks("plot timeline --au 12")
    (drawn,) = answer.out.splitlines()
    assert drawn.endswith("/timeline-synthetic-sparse-quick-da7asy-r0.1-AU12.png")
    why = "disfa, sparse, quick: no AU12 is there: choose one of 1, 25"
    assert answer.err == f"note: no figure of {why}\n"


def test_runs_without_pseudo_labels_are_a_sentence(tmp_path) -> None:
    with pytest.raises(NothingToShow, match=r"no run at ratio 0.1 has a pseudo_labels.npz: run it"):
        timeline_plot(write(tmp_path), 0.1, TimelineOptions(training=True))


def test_pseudo_labels_that_a_run_made_and_lost_are_named(tmp_path) -> None:
    matrix, notes = pseudo_labelled(tmp_path), list[str]()
    options = TimelineOptions(training=True)
    timeline_plot(matrix, 0.1, options, notes)
    assert notes == []  # the control made none
    lost = record("tcl", 0.1, audit={"overall_used": 0.5})
    some = RunMatrix.of([*matrix.records, lost], matrix.scoring)
    timeline_plot(some, 0.1, options, notes)
    path = tmp_path / "runs" / lost.id / PSEUDO_LABELS
    assert [note.partition(" (")[2] for note in notes] == [f"{path} is missing)"]


def test_timelines_of_other_things_are_other_files(tmp_path, monkeypatch, capsys) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    records = [record(method, 0.1) for method in ("supervised", "ks")]
    pseudo_labelled(person.results)
    for each in records:
        with (person.results / "runs" / each.id / NAME).open("wb") as stream:
            predictions().save(stream)
    chosen = (
        "",
        "--pseudo-labels",
        "--au 12",
        "--sequence F001/T1 --au 1",
        "--pseudo-labels --au 1",
    )
    answers = [person.asks(f"plot timeline {options}") for options in chosen]
    assert [answer.code for answer in answers] == [0] * 5, [answer.err for answer in answers]
    assert [answer.out.split("/")[-1].strip() for answer in answers] == [
        "timeline-synthetic-sparse-quick-da7asy-r0.1.png",
        "timeline-pseudo-labels-synthetic-sparse-quick-da7asy-r0.1.png",
        "timeline-synthetic-sparse-quick-da7asy-r0.1-AU12.png",
        "timeline-synthetic-sparse-quick-da7asy-r0.1-AU1-F001-T1.png",
        "timeline-pseudo-labels-synthetic-sparse-quick-da7asy-r0.1-AU1.png",
    ]


def test_a_person_draws_it(tmp_path, monkeypatch, capsys) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    write(person.results)
    answer = person.asks("plot timeline --au 12 --sequence F001/T1")
    assert answer.code == 0, answer.err
    assert "no sequence of these runs" in person.asks("plot timeline --sequence F001").error
