"""BP4D+ (Zhang et al., CVPR 2016): 140 subjects, 10 tasks, four of them coded (T1, T6, T7, T8).

The tree is BP4D's with other habits: images count from 0 and labels from 1, landmark tracks are
MATLAB 5, and 9 (not coded) occurs in the twelve action units. docs/datasets/bp4d_plus.md.
"""

from __future__ import annotations

from typing import ClassVar, final

from datasets._bp4d.options import OPTION_HELP
from datasets._bp4d.reader import Bp4dDialect, Bp4dFamily


@final
class Bp4dPlus(Bp4dFamily):
    """BP4D+, with three subject folds of our own: the field has no common ones."""

    option_help: ClassVar = {
        **OPTION_HELP,
        "suspect": "recordings that no copy is known to have right (F041_T7): drop (default), keep",
    }
    dialect = Bp4dDialect(
        name="BP4D+",
        bases=("", "BP4D+", "BP4D+_v0.2", "BP4DPlus"),
        offset="-1",
        folds="bp4d_plus-ours",
        tree="expected are images 2D+3D/F001/T1/<number>.jpg (or 2D+3D/F001.zip) and label files "
        "AUCoding/AU_OCC/F001_T1.csv",
        suspect={"F041_T7": "its video and its labels differ in length in the distributed copy"},
    )
