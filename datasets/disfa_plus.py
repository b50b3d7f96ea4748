"""DISFA+ (Mavadati et al., CVPR workshops 2016): posed and spontaneous trials, images of 9 people.

All nine are in DISFA too: do not train on the one and test on the other. `docs/datasets/others.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, final

from datasets._files.folders import existing_root, group_by_key, match_names, places
from datasets._files.image_folders import LabelledImages, numbered, put_together, unpictured
from datasets._files.labels import read_intensities
from datasets._splits.folds import load_folds

from ._base import Dataset, DatasetMissing, FoldList, Sequence
from ._disfa import BENCHMARK_AUS, OPTION_HELP, aus_option, threshold_option

BASES = ("", "DISFAPlusDataset", "DISFAPlus", "DISFA+")
SUBJECT = "((?i:SN[0-9]{3}))"
LINE = re.compile(r"\s*([0-9]{1,9})\.(?i:jpg|jpeg|png)[\s,]+([0-5])\s*")
LOOKS = "a line is FRAME.jpg intensity, the intensity 0 to 5; lines with # are passed over"
TREE = "expected are Images/SN001/TRIAL/000.jpg and Labels/SN001/TRIAL/AU1.txt below it"


@final
class DisfaPlus(Dataset):
    """DISFA+'s trials as sequences."""

    aus: tuple[int, ...] = BENCHMARK_AUS
    fps = 20.0
    option_help: ClassVar[Mapping[str, str]] = {
        **OPTION_HELP,
        "images": "folder of images, e.g. Aligned (default Images)",
    }

    def __init__(self, root: Path | None = None, **options: object):
        super().__init__(root, **options)
        self.aus = aus_option(options)
        self._threshold = threshold_option(options)

    def sequences(self) -> list[Sequence]:
        """List the trials that have images and labels, by person and trial.

        Raises DatasetMissing if nothing is there, and DatasetCorrupt for a label file that breaks
        its format or two entries about one thing. `problems` names what was left out.
        """
        self.problems = []
        root = existing_root(self.root, "DISFA+", TREE)
        images = self._trials(root, str(self.options.get("images", "Images")), "folder of images")
        labels = self._trials(root, "Labels", "label folder")
        found = []
        for key in sorted(images.keys() | labels.keys()):
            if key not in images or key not in labels:
                what = "images without labels" if key in images else "labels without images"
                self.problems.append(f"{'_'.join(key)}: {what}, left out")
            elif (sequence := self._sequence(root, key, images[key], labels[key])) is not None:
                found.append(sequence)
        if not found:
            raise DatasetMissing(root, f"no label meets an image ({self.problems[-1]}); {TREE}")
        return found

    def folds(self) -> FoldList:
        """Return three subject folds of our own: the field has none for DISFA+."""
        return load_folds("disfa_plus-ours")

    def _trials(self, root: Path, place: str, what: str) -> dict[tuple[str, str], Path]:
        """Map person and trial to their folder in the first place that has any."""
        for home in places(root, BASES, (place,)):
            if people := group_by_key(home, SUBJECT):
                return {
                    (person, trial): folder / trial
                    for person, folder in people.items()
                    for trial in match_names(folder, r"[^.].*")
                    if (folder / trial).is_dir()
                }
        raise DatasetMissing(root, f"no {what} is there; {TREE}")

    def _sequence(
        self, root: Path, key: tuple[str, str], images: Path, labels: Path
    ) -> Sequence | None:
        """Put a trial together; None, and a sentence, if it cannot be."""
        name = "_".join(key)
        files = {
            int(au): file
            for au, file in group_by_key(labels, r"(?i:AU0?([1-9][0-9]?)\.txt)").items()
        }
        if not files.keys() & set(self.aus):
            self.problems.append(f"{name}: no label file of these AUs, left out")
            return None
        coded = read_intensities(files, self.aus, LINE, LOOKS)
        self.problems += [f"{name}: {gap}" for gap in coded.gaps]
        labelled = LabelledImages(coded.frames, coded.labels(self._threshold), coded.levels)
        home = root if images.is_relative_to(root) else images.parents[1]  # option images
        sequence, missing = put_together(home, *key, numbered(images), labelled)
        self.problems += unpictured(name, missing, sequence)
        return sequence
