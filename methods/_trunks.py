"""Image trunks by their timm name: built, narrowed, and given weights.

Shapes: N images of H x W pixels, ImageNet-normalised; F features of the trunk.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file, save_file
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import ResNet, model_entrypoint
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ._base import MethodError, Trunk
from ._packaged_weights import PACKAGE, check_packaged_trunk, packaged_weights
from ._published_weights import file_at_hand, only_noted

FACES = Path(__file__).parent / "weights"
"""Folder of the weights that come with the suite: trunks that were taught to find landmarks."""

STAGES = (64, 128, 256, 512)
"""Channels of a ResNet's four stages at width 1, before a bottleneck's expansion."""

_SKIPPED = ContextVar("first weights are skipped", default=False)


@contextmanager
def first_weights_skipped() -> Iterator[None]:
    """Build networks as with their first weights, but load none: trained ones are to follow.

    Neither a file nor a download is then needed.
    """
    token = _SKIPPED.set(True)
    try:
        yield
    finally:
        _SKIPPED.reset(token)


def loads_first_weights() -> bool:
    """Tell whether first weights are to be loaded into a network that is being built."""
    return not _SKIPPED.get()


class ImageTrunk(nn.Module):
    """A timm network without its classifier: images (N, 3, H, W) -> pooled features (N, F)."""

    scale: Tensor | None
    shift: Tensor | None

    def __init__(self, body: Any, *, renormalise: bool):
        super().__init__()
        self.body = body
        # timm: `num_features` comes before a pre-logits layer, `head_hidden_size` after it.
        self.num_features: int = getattr(body, "head_hidden_size", body.num_features)
        self.least_side = _last_reduction(body)
        """Up to this side BatchNorm's last maps are single values: no image trains alone."""
        scale, shift = _renormalisation(body) if renormalise else (None, None)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode ImageNet-normalised images, in whatever normalisation the weights expect.

        Raises MethodError where BatchNorm would have to train on one value a channel.
        """
        features: Tensor = self.body(self.prepared(frames))
        return features

    def stem(self, frames: Tensor) -> Tensor:
        """Return the maps (N, C, h, w) that a ResNet's stem makes of images.

        Of another network's images only their normalisation: `after_stem` does all else.
        """
        body: Any = self.body
        maps = self.prepared(frames)
        if isinstance(self.body, ResNet):
            maps = body.maxpool(body.act1(body.bn1(body.conv1(maps))))
        return maps

    def after_stem(self, maps: Tensor) -> Tensor:
        """Return the pooled features (N, F) of what `stem` made: `forward` is the two."""
        body: Any = self.body
        if not isinstance(self.body, ResNet):
            whole: Tensor = body(maps)
            return whole
        for stage in (body.layer1, body.layer2, body.layer3, body.layer4):
            maps = stage(maps)
        features: Tensor = body.global_pool(maps)
        return features

    def prepared(self, frames: Tensor) -> Tensor:
        """Return ImageNet-normalised images as the body takes them; raises as `forward` does."""
        side = frames.shape[-1]
        if self.training and len(frames) == 1 and side <= self.least_side:
            raise MethodError(
                f"a batch of one image of {side} px leaves BatchNorm one value a channel: take "
                f"train.batch_size=2 or more, or data.size={self.least_side + 1} or more"
            )
        if self.scale is not None and self.shift is not None:
            frames = frames * self.scale + self.shift
        return frames


def _last_reduction(body: Any) -> int:
    """Return pixels a side of an image for each cell of the last map; 0 without BatchNorm."""
    stages = getattr(body, "feature_info", None)
    if not stages or not any(isinstance(module, _BatchNorm) for module in body.modules()):
        return 0
    return int(stages[-1]["reduction"])


def _renormalisation(body: Any) -> tuple[Tensor | None, Tensor | None]:
    """Return scale and shift (1, 3, 1, 1) from ImageNet's statistics to those of the weights."""
    ours = torch.tensor([IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD])
    theirs = torch.tensor([body.pretrained_cfg["mean"], body.pretrained_cfg["std"]])
    if torch.equal(ours, theirs):
        return None, None
    scale, shift = ours[1] / theirs[1], (ours[0] - theirs[0]) / theirs[1]
    return scale.reshape(1, 3, 1, 1), shift.reshape(1, 3, 1, 1)


def build_trunk(trunk: Trunk, image_size: int = 224) -> ImageTrunk:
    """Build a trunk for square images of `image_size` pixels.

    Raises MethodError for a name timm does not know, a width that the family does not take, and
    weights that cannot be had or do not fit.
    """
    _check_name(trunk.name)
    if trunk.weights == "package":
        check_packaged_trunk(trunk)
    body = create_body(trunk, image_size) if trunk.width == 1 else _narrow_resnet(trunk)
    if loads_first_weights() and (path := weights_path(trunk)) is not None:
        load_weights(body, path)
    if loads_first_weights() and trunk.weights == "package":
        _load_packaged(body)
    return ImageTrunk(body, renormalise=trunk.weights != "none")


def weights_path(trunk: Trunk) -> Path | None:
    """Return the file that a trunk's weights are read from, or None; raises MethodError.

    `faces` stands for the file that comes with the suite for this trunk.
    """
    if trunk.weights in {"none", "imagenet", "package"}:
        return None
    if trunk.weights != "faces":
        return Path(trunk.weights)
    path = faces_weights(trunk)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FACES.glob("*.safetensors"))) or "none"
        raise MethodError(
            f"trunk.weights=faces exists for {known}, not for {path.stem}: "
            "give --set trunk.weights=imagenet|none|PATH"
        )
    return path


def faces_weights(trunk: Trunk) -> Path:
    """Name the file of a trunk's weights that were taught on faces; it need not exist."""
    return FACES / f"faces-{trunk.name}-{trunk.width:g}.safetensors"


def save_weights(body: nn.Module, path: Path) -> None:
    """Write a body's weights at half precision, as `load_weights` reads them."""
    state = {name: value.detach().cpu().contiguous() for name, value in body.state_dict().items()}
    half = {n: v.half() if v.is_floating_point() else v for n, v in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(half, path)


def _check_name(name: str) -> None:
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = _closest(architecture, timm.list_models())
        raise MethodError(f"timm has no trunk {architecture!r}; the closest are {near}")
    if name != architecture and name not in (known := timm.list_pretrained(f"{architecture}.*")):
        raise MethodError(f"timm has no weights {name!r}; it has {_closest(name, known)}")


def _closest(name: str, known: list[str]) -> str:
    """Return the names in `known` that are closest to `name`, or else its first eight, listed."""
    return ", ".join(difflib.get_close_matches(name, known, n=5, cutoff=0.5) or known[:8])


def create_body(trunk: Trunk, image_size: int) -> nn.Module:
    """Build a timm network without its classifier, at its own width, ImageNet weights if asked."""
    published = timm.get_pretrained_cfg(trunk.name)
    sized = published is not None and published.fixed_input_size
    options: dict[str, Any] = {"img_size": image_size} if sized else {}
    if trunk.weights == "package":
        options["pretrained_cfg_overlay"] = {"mean": PACKAGE.mean, "std": PACKAGE.std}
    pretrained = trunk.weights == "imagenet" and loads_first_weights()
    if pretrained and only_noted(trunk.name):
        pretrained = False
    if pretrained and (file := file_at_hand(trunk.name)):
        options["pretrained_cfg_overlay"] = {"file": str(file)}
    try:
        body: nn.Module = timm.create_model(
            trunk.name, pretrained=pretrained, num_classes=0, **options
        )
        if sized:  # some transformers only notice on their way
            with torch.no_grad():
                body.eval()(torch.zeros(1, 3, image_size, image_size))
    except OSError as error:
        raise MethodError(
            f"the ImageNet weights of {trunk.name} cannot be downloaded "
            f"({type(error).__name__}): give --set trunk.weights=PATH|none"
        ) from error
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise MethodError(
            f"trunk {trunk.name} with weights {trunk.weights!r} cannot be built "
            f"for {image_size} px images: {error}"
        ) from error
    return body.train()


def _narrow_resnet(trunk: Trunk) -> nn.Module:
    """Build a ResNet with every channel count times `trunk.width`, to a multiple of 8."""
    if trunk.weights == "imagenet":
        raise MethodError(
            f"ImageNet weights exist for trunk.width=1 only, not {trunk.width:g}: "
            "give --set trunk.width=1 or --set trunk.weights=PATH|none"
        )
    advice = f"trunk {trunk.name} takes no width: resnet18, 34, 50, 101 and 152 do"
    if model_entrypoint(trunk.name).__module__ != "timm.models.resnet" or trunk.width <= 0:
        raise MethodError(f"{advice}, above 0; give --set trunk.width=1")
    channels = tuple(scaled_channels(count, trunk.width) for count in STAGES)
    body = timm.create_model(trunk.name, num_classes=0, channels=channels)
    plain = isinstance(body, ResNet) and isinstance(body.conv1, nn.Conv2d)
    if not plain or any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in body.modules()):
        raise MethodError(f"{advice}; give --set trunk.width=1")
    _narrow_stem(body, channels[0])
    return body


def scaled_channels(count: int, width: float) -> int:
    """Return count x width, rounded to a multiple of 8 and at least 8."""
    return max(8, round(count * width / 8) * 8)


def _narrow_stem(body: Any, channels: int) -> None:
    """Give a plain ResNet a stem of `channels`; timm's own argument moves deep stems only."""
    first = body.layer1[0]
    body.conv1, body.bn1 = _resized(body.conv1, 3, channels), nn.BatchNorm2d(channels)
    first.conv1 = _resized(first.conv1, channels, first.conv1.out_channels)
    outputs = body.feature_info[1]["num_chs"]
    projected = outputs != channels  # a shortcut within layer1 is the identity wherever it can be
    first.downsample = _projection(channels, outputs) if projected else None


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 1, bias=False)
    return nn.Sequential(_resized(conv, inputs, outputs), nn.BatchNorm2d(outputs))


def _resized(conv: nn.Conv2d, inputs: int, outputs: int) -> nn.Conv2d:
    """Return a fresh convolution of the same geometry, initialised as timm's ResNets are."""
    geometry = {name: getattr(conv, name) for name in ("kernel_size", "stride", "padding")}
    fresh = nn.Conv2d(inputs, outputs, bias=conv.bias is not None, **geometry)
    nn.init.kaiming_normal_(fresh.weight, mode="fan_out", nonlinearity="relu")
    return fresh


def load_weights(body: Any, path: Path, classifier: str | None = None) -> None:
    """Load a state dict file into `body`, without its classifier's weights.

    Raises MethodError naming the file if it is missing, unreadable, or of another network.
    """
    state = read_state(path)
    heads = classifier or body.pretrained_cfg["classifier"]
    prefixes = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    state = {key: value for key, value in state.items() if not key.startswith(prefixes)}
    try:
        body.load_state_dict(state)
    except RuntimeError as error:
        detail = str(error).split("\n\t")[1] if "\n\t" in str(error) else str(error)
        raise MethodError(f"{path} holds weights of another network: {detail[:200]}") from error


def _load_packaged(body: nn.Module) -> None:
    """Load the weights of `trunk.weights=package`, whose tensors stand in timm's order.

    Only noted while a study is planned; raises MethodError if the package does not serve.
    """
    if only_noted(PACKAGE.trunk, PACKAGE.source):
        return
    state = read_state(file_at_hand(PACKAGE.trunk) or packaged_weights())
    names = [*body.state_dict(), "classifier.weight", "classifier.bias"]
    renamed = dict(zip(names, state.values(), strict=True))
    body.load_state_dict({name: renamed[name] for name in body.state_dict()})


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict file, safetensors or torch's; raises MethodError naming it."""
    if not path.is_file():
        raise MethodError(f"{path}: no such weights file; give --set trunk.weights=PATH|none")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise MethodError(f"{path} is not a readable state dict: {reason}") from error
    for wrapper in ("state_dict", "model"):
        state = state.get(wrapper, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise MethodError(f"{path} is not a state dict (names of weights to tensors)")
    return state
