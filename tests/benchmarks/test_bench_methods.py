"""Speed of every method's step, loading and inference, on a cut of the embedded dataset.

Preset quick on one thread. Run with `make bench`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.config.registry import Registry
from bench.runner.setup import Experiment, build_experiment
from bench.study.cell import plan_cells
from bench.study.study import make_study

METHODS = Registry().methods()
CUT = ("synthetic.subjects=6", "synthetic.tasks=T1", "synthetic.frames=40", "train.steps=400")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speed")


@pytest.fixture
def experiment(method: str, folder: Path) -> Experiment:
    study = make_study(
        methods=[method], ratios=["0.1"], knobs=CUT, results=folder, cache=folder / "frames"
    )
    context = study.context
    data = context.dataset.open(context.settings.data, context.cache)
    (cell,) = plan_cells(study, data)
    return build_experiment(cell, torch.device("cpu"))


@pytest.mark.parametrize("method", METHODS)
def test_step(benchmark: BenchmarkFixture, experiment: Experiment) -> None:
    trainer = experiment.trainer
    benchmark.extra_info["frames"] = trainer.loader.sampler.frames_per_step()
    benchmark.pedantic(lambda: trainer.run(trainer.step + 1), rounds=10, warmup_rounds=3)


@pytest.mark.parametrize("method", METHODS)
def test_loading(benchmark: BenchmarkFixture, experiment: Experiment) -> None:
    steps = count()
    benchmark(lambda: experiment.trainer.loader.batch(next(steps) % 400))


@pytest.mark.parametrize("method", METHODS)
def test_inference(benchmark: BenchmarkFixture, experiment: Experiment) -> None:
    benchmark.extra_info["frames"] = sum(len(sequence.frames) for sequence in experiment.test)
    benchmark.pedantic(experiment.predict, (experiment.test,), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("method", ["supervised", "fixmatch", "ks"])
def test_sampling(benchmark: BenchmarkFixture, experiment: Experiment) -> None:
    steps = count()
    benchmark(lambda: experiment.trainer.loader.sampler.indices(next(steps) % 400))
