"""Export to ONNX (extra `onnx`): one graph from clips to probabilities, checked against torch.

What the graph takes stands in its metadata: normalisation, clip, crop recipe, AUs.

Shapes: B clips, T frames of a clip, S pixels a side, A action units, L landmarks.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.errors import UsageError
from bench.frame_store.crop import BOX_MARGIN, CROP_DROP, CROP_SIDE, canonical_face
from bench.metrics import THRESHOLD
from bench.runner.weights import NetworkDescription, made_up_film
from bench.system.files import atomic_file
from bench.training.augment import IMAGENET_MEAN, IMAGENET_STD, normalise
from datasets._landmarks.markup import to_49
from methods._base import Method

from .network import Network

FRAMES_CHECKED = 100
TOLERANCE = 1e-4
"""How far a probability of the graph may be from torch's."""

OPSET = 18


class _Graph(nn.Module):
    """A method as one function: normalised clips -> probabilities."""

    def __init__(self, method: Method):
        super().__init__()
        self.method = copy.deepcopy(method).cpu().eval()
        for module in self.method.modules():
            _fix_switches(module)

    def forward(self, clips: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """Return probabilities (B, A) for the middle frames of clips (B, T, 3, S, S)."""
        logits = (
            self.method.predict(clips)
            if landmarks is None
            else (self.method.predict(clips, landmarks))
        )
        return logits.float().sigmoid()


def _fix_switches(module: nn.Module) -> None:
    """Turn a trained network's truth values (a phase that has begun, say) into constants.

    A graph has no branches; these will not change again.
    """
    for name, value in list(module.named_buffers(recurse=False)):
        if value.dtype == torch.bool and value.dim() == 0:
            delattr(module, name)
            setattr(module, name, bool(value))


def export_onnx(network: Network, path: Path) -> float:
    """Write a network as an ONNX file; returns how far it is from torch, at most `TOLERANCE`.

    Raises UsageError where the extra is missing, where the network has something that ONNX has not,
    and where the graph says anything else than torch (nothing is written then), or RecordError.
    """
    _, runtime = _packages()
    inputs = example_inputs(network.description)
    model = _exported(network, inputs)
    at_once = clips_at_once(model)
    for key, value in metadata(network.description, at_once).items():
        model.metadata_props.add(key=key, value=value)
    content = model.SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    farthest = _distance(network, session, inputs, at_once or FRAMES_CHECKED)
    if not farthest <= TOLERANCE:
        raise UsageError(
            f"the ONNX graph of {network.description.id} says other than torch (probabilities are "
            f"off by up to {farthest:.2g}, more than {TOLERANCE:g}): nothing was written"
        )
    with atomic_file(path, "wb") as stream:
        stream.write(content)
    return farthest


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter is built on it
    except ImportError as error:
        raise UsageError(
            f"--onnx needs the extra `onnx` ({error.name} is not there): "
            "pip install -c constraints.txt -e '.[onnx]'"
        ) from None
    return onnx, onnxruntime


def example_inputs(description: NetworkDescription) -> dict[str, Tensor]:
    """Return clips (100, T, 3, S, S) of a made-up film and, where the network sees any, landmarks.

    Landmarks (100, T, L, 2) are those of a mean face that wanders by a few pixels.
    """
    length = description.test_clip_len
    frames = normalise(torch.from_numpy(made_up_film(FRAMES_CHECKED + length, description.size)))
    numbers = torch.arange(FRAMES_CHECKED)[:, None] + torch.arange(length)
    inputs = {"clips": frames[numbers]}
    if description.landmarks:
        face = canonical_face() * description.size
        face = face if description.landmarks == len(face) else to_49(face)
        moved = face + 0.02 * description.size * np.sin(np.arange(len(frames)))[:, None, None]
        inputs["landmarks"] = torch.from_numpy(moved.astype(np.float32))[numbers]
    return inputs


def _exported(network: Network, inputs: Mapping[str, Tensor]) -> Any:
    """Return the graph, for any number of clips if the method's code allows it, else for one."""
    model = _traced(network, {name: value[:3] for name, value in inputs.items()}, dynamic=True)
    if clips_at_once(model) is None:
        return model
    return _traced(network, {name: value[:1] for name, value in inputs.items()}, dynamic=False)


def clips_at_once(model: Any) -> int | None:
    """Return how many clips a graph takes at once; None = any number."""
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    return None if batch.dim_param else int(batch.dim_value)


def _traced(network: Network, inputs: dict[str, Tensor], *, dynamic: bool) -> Any:
    """Trace the network on inputs; raises UsageError in torch's own words."""
    onnx, _ = _packages()
    batch = torch.export.Dim("batch")
    try:
        with _silence(), torch.no_grad(), TemporaryDirectory() as folder:
            program = torch.onnx.export(
                _Graph(network.method),
                args=(),
                kwargs=inputs,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=["probabilities"],
                dynamic_shapes={name: {0: batch} for name in inputs} if dynamic else None,
                verbose=False,
            )
            assert program is not None
            program.save(str(Path(folder) / "graph.onnx"), external_data=False)
            return onnx.load(Path(folder) / "graph.onnx")
    except Exception as error:
        raise UsageError(
            f"{network.description.cell['method']} cannot be exported to ONNX: a graph holds no "
            "code that goes on or chooses by the values of its tensors "
            f"({_innermost(error)}); --weights exports it for this suite"
        ) from error


@contextmanager
def _silence() -> Iterator[None]:
    """Keep back what several parts of torch warn of, log and print on the way."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _innermost(error: BaseException) -> str:
    """Return the first line of the error that began it."""
    while error.__cause__ is not None:
        error = error.__cause__
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first[:150]}"


def _distance(network: Network, session: Any, inputs: Mapping[str, Tensor], at_once: int) -> float:
    """Return the farthest distance of a probability from torch's, over all frames checked."""
    graph = _Graph(network.method)
    with torch.inference_mode():
        expected = graph(**inputs).numpy()
    found = np.concatenate(
        [
            session.run(None, {n: v[start : start + at_once].numpy() for n, v in inputs.items()})[0]
            for start in range(0, FRAMES_CHECKED, at_once)
        ]
    )
    distance: NDArray[np.float32] = np.abs(found - expected)
    return float(distance.max())


def metadata(description: NetworkDescription, at_once: int | None = None) -> dict[str, str]:
    """Return what the graph's user must know, as ONNX keeps it: texts, most of them JSON."""
    side, batch = description.size, at_once or "batch"
    about: dict[str, Any] = {
        "cell": description.id,
        "final_weights": description.final_weights,
        "aus": list(description.aus),
        "threshold": THRESHOLD,
        "input": {
            "clips": f"({batch}, {description.test_clip_len}, 3, {side}, {side}) float32, RGB",
            "normalisation": "(pixel / 255 - mean) / std, pixel 0 to 255",
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
            "key_frame": description.test_clip_len // 2,
            "stride": description.stride,
            "beyond_the_ends": "the film's first or last frame again",
            **(
                {"landmarks": f"{description.landmarks} points (x, y), crop pixels"}
                if description.landmarks
                else {}
            ),
        },
        "output": f"probabilities ({batch}, {len(description.aus)}), in the order of aus",
        "crop": crop_recipe(description),
    }
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}


def crop_recipe(description: NetworkDescription) -> dict[str, Any]:
    """Say how a face is cropped before it is shown to the network."""
    return {
        "kind": description.crop,
        "side": description.size,
        "align": (
            "turned so that the eyes are level; unit = the longer side of the box around eye "
            "centres, nose tip and mouth corners (68-point markup: means of 36-41 and 42-47, 30, "
            f"48, 54); a square of {CROP_SIDE} units around the box's centre, moved down by "
            f"{CROP_DROP} units"
        ),
        "box": f"a square around the face box's centre, {BOX_MARGIN} times its longer side",
        "centre": "the largest square amid the frame",
        "auto": "align where landmarks are known, else box, else centre",
        "beyond_the_frame": "grey (128, 128, 128)",
        "resampling": "area average when shrinking, bicubic when enlarging",
    }
