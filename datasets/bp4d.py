"""BP4D (Zhang et al., Image and Vision Computing 2014): 41 subjects, 8 tasks, 25 frames a second.

Twelve action units are coded in a window of each recording. What copies look like, and what is done
about it: docs/datasets/bp4d.md.
"""

from __future__ import annotations

from typing import final

from datasets._bp4d.reader import Bp4dDialect, Bp4dFamily


@final
class Bp4d(Bp4dFamily):
    """BP4D, with the canonical three subject folds (DRML, JAA-Net, ME-GraphAU)."""

    dialect = Bp4dDialect(
        name="BP4D",
        bases=("", "BP4D"),
        offset="auto",
        folds="bp4d",
        tree="expected are images Sequences/F001/T1/<number>.jpg (also in Sequences(2D+3D) or "
        "BP4D-training, or in archives F001.zip) and label files AUCoding/AU_OCC/F001_T1.csv",
    )
