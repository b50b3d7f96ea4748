"""Speed rows: parameters and operations counted, every part timed, rows kept and shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from bench.report.tables.render import render_all
from bench.report.tables.speed import speed_table
from bench.results.speed_rows import PARTS, Rate, SpeedRow, read_rows, save_row
from bench.runner.speed import KeptBatches, _counted, _gflops, bare_loop, frames_per_step, size_of
from bench.study.study import make_study
from bench.system.files import RecordError
from methods._base import Method, Needs
from methods.daur import DAUR
from methods.mlcr import MLCR
from methods.supervised import Supervised
from tests.helpers import fakes as toys
from tests.helpers.fake_tasks import make_task
from tests.helpers.timed_trainings import QUICK, make_trainer


def row(**changes) -> SpeedRow:
    values = {
        "method": "ks",
        "trunk": "resnet18",
        "preset": "quick",
        "size": 64,
        "batch": 16,
        "frames_per_sample": 6.0,
        "parameters": 1_500_000,
        "gflops_per_frame": 0.25,
        "environment": {"device": "a device"},
    }
    return SpeedRow(**{**values, **changes})


RATES = {part: Rate(100.0, 90.0, 110.0) for part in PARTS} | {"bare loop": Rate(125, 125, 125)}


def test_ks_has_the_papers_size_with_twelve_action_units():
    study = make_study(methods=["ks"], preset="paper", knobs=["trunk.weights=none"])
    (name,) = study.methods
    cls = study.context.registry.method("ks")
    found = size_of("ks", cls, study.config_of(name), study.settings_of(name), 12)
    assert 15.5e6 < found.parameters < 15.6e6
    # 1.82 G multiply-adds of a ResNet-18 at 224 px, each counted as two operations
    assert found.gflops_per_frame == pytest.approx(2 * 1.82, rel=0.01)


class OneLayer(Method):
    needs = Needs()

    def __init__(self, config, task):
        super().__init__(config, task)
        self.layer = nn.Conv2d(3, 5, 3, padding=1, bias=False)

    def encode(self, frames, landmarks=None):
        return self.layer(frames)


def test_operations_of_a_convolution_are_two_a_weight_and_pixel():
    method = OneLayer(OneLayer.Config(), make_task())
    assert _gflops(method, 16) == pytest.approx(2 * 5 * 3 * 9 * 16 * 16 / 1e9)


def test_a_training_on_one_trunk_has_the_operations_of_the_bare_loop():
    step, bare = gflops_of_a_step(Supervised)
    assert step == pytest.approx(bare)
    step, bare = gflops_of_a_step(MLCR)
    assert 2 < step / bare < 2.1, "two trunks, and a graph on their classifiers"


def gflops_of_a_step(cls):
    trainer = make_trainer(cls)
    step = _counted(lambda: trainer.run(1))
    return step, _counted(bare_loop(trainer, 1))


def test_kept_batches_are_those_of_the_loader_and_lie_ready():
    loader = toys.loader()
    kept = KeptBatches(loader)
    kept.draw_all()
    loader.batch = None  # nothing is drawn from here on
    first, again = kept.batch(1)[0], kept.batch(5)[0]
    assert first is again
    torch.testing.assert_close(first.key, toys.loader().batch(1)[0].key)
    assert kept.pixels is loader.pixels, "what a method fits at a phase's end, it fits on these"


def test_rows_are_kept_one_a_method_trunk_input_and_device(tmp_path):
    save_row(tmp_path, row(rates=RATES))
    save_row(tmp_path, row(rates=RATES, parameters=7))
    save_row(tmp_path, row(environment={"device": "another"}))
    rows = read_rows(tmp_path)
    assert [one.parameters for one in rows] == [7, 1_500_000]
    assert rows[0].rates["step"] == Rate(100.0, 90.0, 110.0)
    assert rows[0].share_of_bare == pytest.approx(0.8)
    assert rows[0].step_share_of_arithmetic is None, "nobody counted, as in older rows"


def test_the_share_by_arithmetic_counts_what_a_method_computes():
    rates = RATES | {"step": Rate(50.0, 50.0, 50.0)}
    timed = row(rates=rates, gflops_per_sample=3.0, bare_gflops_per_sample=1.5)
    # 150 GFLOP a second of 187.5
    assert timed.step_share_of_bare == pytest.approx(0.4)
    assert timed.step_share_of_arithmetic == pytest.approx(0.8)


def test_a_step_has_the_frames_that_its_phases_take():
    train = replace(QUICK.train, steps=10, batch_size=2)
    trainer = make_trainer(DAUR, train=train)
    # eight steps of 2 labelled frames, then two of 2 clips of 5 frames
    assert frames_per_step(trainer) == pytest.approx((8 * 2 + 2 * 10) / 10)


def test_evaluations_share_is_of_a_run_of_the_presets_steps():
    timed = row(rates=RATES | {"inference": Rate(1000.0, 900.0, 1100.0)}, budget_steps=50)
    # 50 steps of 16 clips at 100 a second take 8 s, and 10,000 frames at 1,000 a second 10 s
    assert timed.share_of_evaluation == pytest.approx(10 / 18)
    assert "55.6" in render_all([speed_table([timed])], "markdown")
    assert row(rates=RATES).share_of_evaluation is None


@pytest.mark.parametrize("content", ["{", "[]", '{"method": 1}'])
def test_a_broken_row_is_named(tmp_path, content):
    path = save_row(tmp_path, row())
    path.write_text(content)
    with pytest.raises(RecordError, match=path.name):
        read_rows(tmp_path)


def test_the_table_tells_devices_apart_and_the_papers_rows():
    table = speed_table([row(rates=RATES), row(environment={"device": "B"})], published=True)
    labels = [one.label for one in table.rows]
    assert labels[:2] == ["ks [a device, float32]", "ks [B, float32]"]
    assert "156.3" in render_all([table], "markdown")
    assert "0.80" in render_all([table], "markdown")


def test_sizes_alone_have_no_columns_of_rates():
    assert "samples/s" not in render_all([speed_table([row(environment={})])], "markdown")
