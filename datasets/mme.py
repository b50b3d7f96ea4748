"""MME, also called BP4D++ (Li et al., ICCV 2023): 233 subjects, 10 tasks, some 94,000 coded frames.

Nothing public says how it lies on disk, which tasks and action units are coded, or how subjects are
numbered. This reader expects BP4D+'s dialect and lets options say otherwise; what is assumed:
docs/datasets/mme.md.
"""

from __future__ import annotations

from typing import final

from datasets._bp4d.reader import Bp4dDialect, Bp4dFamily


@final
class Mme(Bp4dFamily):
    """MME as BP4D+'s dialect, with three subject folds of our own: no other list is public."""

    dialect = Bp4dDialect(
        name="MME",
        bases=("", "MME", "BP4D++"),
        offset="-1",
        folds="mme-ours",
        tree="expected are images 2D+3D/F001/T1/<number>.jpg (or 2D+3D/F001.zip) and label files "
        "AUCoding/AU_OCC/F001_T1.csv; options images and labels name other folders",
    )
