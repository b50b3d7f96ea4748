"""The ceiling: true labels where pseudo labels would be, behind a door that opens for it alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.config.registry import Registry
from bench.errors import UsageError
from bench.results.records import Record
from bench.runner.ceiling import Ceiling
from bench.runner.setup import Experiment, build_experiment
from bench.study.cell import Cell
from bench.training.loader import RevealedBatch
from datasets._base import UNCODED
from methods._base import Progress
from tests.helpers import cells
from tests.helpers.cells import run

CPU = torch.device("cpu")
PLUGIN = "from bench.runner.ceiling import Ceiling\n\nclass Other(Ceiling):\n    pass\n"


def built(folder: Path, method: str, *knobs: str, ratio: str = "0.2") -> tuple[Cell, Experiment]:
    """The cell of a tiny study, and it ready to train."""
    (cell,) = cells.grid(cells.study(folder, methods=[method], ratios=[ratio], knobs=knobs))
    return cell, build_experiment(cell, CPU)


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, float], tuple[Cell, Record]]:
    """Control and ceiling, with some labels and with all."""
    asked = cells.study(
        tmp_path_factory.mktemp("trained"), methods=["supervised", "ceiling"], ratios=["0.2", "1"]
    )
    return {(str(c.method), c.point.ratio): (c, run(c)) for c in cells.grid(asked)}


@pytest.mark.parametrize("neighbours", ["contiguous", "window"])
@pytest.mark.parametrize("pool", ["clip", "all"])
def test_it_is_shown_the_true_labels_of_its_unlabelled_frames(
    pool: str, neighbours: str, tmp_path: Path
) -> None:
    regime = (f"data.pool={pool}", f"data.neighbours={neighbours}")
    _, experiment = built(tmp_path, "ceiling", *regime)
    loader = experiment.trainer.loader
    seen = 0
    for step in range(experiment.trainer.total):
        batch, _ = loader.batch(step)
        assert isinstance(batch, RevealedBatch)
        rows = loader.sampler.indices(step).extra
        assert loader.sampler.pool[rows].all()
        assert not loader.sampler.labelled[rows].any()
        assert batch.hidden.tolist() == experiment.table.labels[rows].tolist()
        assert len(batch.unlabelled["weak"]) == len(rows)
        seen += len(rows)
    assert seen > 0
    assert batch.hidden.dtype == torch.float32


@pytest.mark.parametrize("pool", ["clip", "all"])
def test_its_batches_are_those_of_pseudo_label_but_for_the_labels(
    pool: str, tmp_path: Path
) -> None:
    loaders = [
        built(tmp_path, name, f"data.pool={pool}")[1].trainer.loader
        for name in ("ceiling", "pseudo_label")
    ]
    for step in range(4):
        (ours, _), (theirs, _) = (loader.batch(step) for loader in loaders)
        assert torch.equal(ours.key, theirs.key)
        assert torch.equal(ours.labels, theirs.labels)
        assert torch.equal(ours.unlabelled["weak"], theirs.unlabelled["weak"])
        assert type(theirs) is not RevealedBatch


@pytest.mark.parametrize("method", Registry().methods())
def test_no_method_is_ever_shown_a_hidden_label(method: str, tmp_path: Path) -> None:
    (cell,) = cells.grid(cells.study(tmp_path, methods=[method]))
    assert not cell.sees_hidden_labels
    if not cell.needs.landmarks:
        loader = build_experiment(cell, CPU).trainer.loader
        assert not loader.reveals
        assert type(loader.batch(0)[0]) is not RevealedBatch


def test_its_loss_is_the_weighted_entropy_of_all_true_labels(tmp_path: Path) -> None:
    _, experiment = built(tmp_path, "ceiling", "ceiling.weight=0.7")
    method, (batch, _) = experiment.method, experiment.trainer.loader.batch(0)
    assert isinstance(batch, RevealedBatch)
    batch.hidden[0, :3] = UNCODED  # what is not coded counts for nothing
    progress = Progress(step=0, total_steps=6, epoch=0, total_epochs=1)
    losses = {name: x.item() for name, x in method.losses(batch, progress).items()}

    frames = torch.cat([batch.key, batch.unlabelled["weak"]])
    logits = method.net(frames).detach().double().numpy()  # batch statistics: the same again
    keys = experiment.trainer.loader.sampler.keys
    rates = experiment.table.labels[keys].astype(float).mean(axis=0)
    inverse = 1 / np.maximum(rates, 1 / len(keys))
    weights = inverse / inverse.mean()

    def entropy(z: np.ndarray, y: np.ndarray) -> float:
        bits = y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)
        return float((weights * bits)[y >= 0].mean())

    count = len(batch.key)
    hidden = entropy(logits[count:], batch.hidden.double().numpy())
    assert losses["au"] == pytest.approx(
        entropy(logits[:count], batch.labels.double().numpy()), rel=1e-5
    )
    assert losses["hidden"] == pytest.approx(0.7 * hidden, rel=1e-5)


def test_the_strong_view_is_learnt_where_asked_for(tmp_path: Path) -> None:
    _, experiment = built(tmp_path, "ceiling", "ceiling.view=strong")
    assert set(experiment.trainer.loader.batch(0)[0].unlabelled) == {"strong"}


def test_with_all_labels_it_is_the_control_bit_for_bit(trained) -> None:
    control, ceiling = (trained[name, 1.0][1] for name in ("supervised", "ceiling"))
    assert control.final_weights == ceiling.final_weights
    assert control.scores == ceiling.scores
    fewer = [trained[name, 0.2][1].final_weights for name in ("supervised", "ceiling")]
    assert len(set(fewer)) == 2


def test_id_and_record_say_that_it_sees_hidden_labels(trained) -> None:
    cell, record = trained["ceiling", 0.2]
    assert "ceiling-sees-hidden-labels-r0.2" in cell.id
    assert record.sees_hidden_labels
    other, plain = trained["supervised", 0.2]
    assert "hidden" not in other.id
    assert not plain.sees_hidden_labels
    assert record.hashes["mask"] == plain.hashes["mask"]


def test_the_door_is_no_matter_of_a_class_but_of_the_name(tmp_path: Path) -> None:
    plugin = tmp_path / "sly.py"
    plugin.write_text(PLUGIN)
    asked = cells.study(tmp_path, methods=["sly"], plugins=[plugin])
    record = run(cells.grid(asked)[0])
    assert (record.status, record.sees_hidden_labels) == ("skipped", False)
    assert "the runner shows them to its own control 'ceiling' alone" in str(record.reason)


def test_no_plugin_may_take_its_name(tmp_path: Path) -> None:
    plugin = tmp_path / "ceiling.py"
    plugin.write_text(PLUGIN)
    with pytest.raises(UsageError, match="takes the name of a control of the runner's own"):
        cells.study(tmp_path, methods=["supervised"], plugins=[plugin])


def test_it_is_asked_for_by_name_and_never_one_of_all_methods(tmp_path: Path) -> None:
    everything = cells.study(tmp_path, methods=())
    assert "ceiling" not in map(str, everything.methods)
    assert "ceiling" not in Registry().methods()
    assert Registry().method("ceiling") is Ceiling
