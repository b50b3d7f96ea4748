"""What `export` does: load the network, write it in the forms asked for, and its card."""

from __future__ import annotations

import shutil
from pathlib import Path

import typer

from bench.config.registry import Registry
from bench.errors import UsageError
from bench.inference.export import FRAMES_CHECKED, TOLERANCE, export_onnx
from bench.inference.model_card import model_card
from bench.inference.network import Network, load_network
from bench.results.kept_weights import WEIGHTS
from bench.results.records import read_record
from bench.results.transfer import read_transfers
from bench.system.files import atomic_file

from ._console import stderr_console


def export(
    name: str,
    onnx: Path | None,
    weights: Path | None,
    results: Path,
    plugins: tuple[Path, ...],
    *,
    overwrite: bool,
) -> None:
    """Carry out an `export`; raises UsageError before anything is written where that can be."""
    wanted = [path for path in (onnx, weights) if path]
    _check(onnx, weights)
    for path in (*wanted, *map(_card_file, wanted)):
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is there already: give another name, or --overwrite")
    network = load_network(results, name, registry=Registry(plugins))
    if onnx:
        farthest = export_onnx(network, onnx)
        stderr_console().print(
            f"checked against torch on {FRAMES_CHECKED} frames: probabilities agree to "
            f"{farthest:.1g} (allowed: {TOLERANCE:g})"
        )
    if weights:
        _copy(results / "runs" / network.description.id / WEIGHTS, weights)
    for path in wanted:
        _write_card(network, results, _card_file(path))
        typer.echo(f"{path}\n{_card_file(path)}")


def _check(onnx: Path | None, weights: Path | None) -> None:
    for path, option, ending in (
        (onnx, "--onnx", ".onnx"),
        (weights, "--weights", ".safetensors"),
    ):
        if path and path.suffix != ending:
            raise UsageError(f"{option} {path}: the file's name ends in {ending}")
    if not (onnx or weights):
        raise UsageError("say what to write: --onnx FILE.onnx or --weights FILE.safetensors")


def _card_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.md")


def _copy(source: Path, target: Path) -> None:
    with atomic_file(target, "wb") as stream, source.open("rb") as opened:
        shutil.copyfileobj(opened, stream)


def _write_card(network: Network, results: Path, path: Path) -> None:
    about = network.description
    record = read_record(results / "runs" / about.id / "record.json")
    transfers, _ = read_transfers(results)
    mine = [each for each in transfers if list(each.cells) == [about.id]]
    with atomic_file(path) as stream:
        stream.write(model_card(about, record, mine))
