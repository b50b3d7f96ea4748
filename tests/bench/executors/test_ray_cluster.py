"""Ray on two nodes for real; AU_BENCH_EXECUTORS=ray (or `make executors-test`) includes it."""

from __future__ import annotations

import threading
import time

import pytest

from bench.executors import ray as executor
from bench.executors.worker import launch_spec
from bench.results.claims import read_claim
from tests.helpers import cells
from tests.helpers.executors import needs
from tests.helpers.odd_methods import starts, write_plugins

pytestmark = needs("ray")


@pytest.fixture
def cluster(monkeypatch):
    """A head without a processor and two nodes with one each; yields it and its two nodes."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 100 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    try:
        yield made, [made.add_node(num_cpus=1, **small) for _ in range(2)]
    finally:
        made.shutdown()


def test_the_cells_of_a_node_that_is_removed_are_done_by_the_other(tmp_path, cluster):
    made, nodes = cluster
    (plugin,) = write_plugins(tmp_path / "plugins", ["slow"])
    asked = cells.study(
        tmp_path, methods=["slow"], ratios=["0.1", "0.2", "0.3", "0.4"], plugins=[plugin]
    )
    grid, heard = cells.grid(asked), cells.Listening()
    lost = []

    def remove_a_node_when_both_work():
        while starts(tmp_path / "plugins", "slow") < 2:
            time.sleep(0.1)
        lost.extend(c for cell in grid if (c := read_claim(cell.folder)))
        made.remove_node(nodes[1], allow_graceful=False)

    threading.Thread(target=remove_a_node_when_both_work, daemon=True).start()
    orders = launch_spec(grid, "cpu")
    executor.execute(grid, heard, orders, workers=0, address=made.address)
    assert [record.status for record in heard.records] == ["done"] * 4
    assert sorted(record.id for record in heard.records) == sorted(cell.id for cell in grid)
    assert len({held.pid for held in lost}) == 2
    assert starts(tmp_path / "plugins", "slow") == 5
    assert any("another takes its place" in note for note in heard.notes)
