"""MLCR: two views of the features agree on unlabelled frames (Niu, Han, Shan & Chen, NeurIPS 2019).

Two networks are kept apart by their classifiers and together by their answers; a graph of the AUs
mixes the classifiers of AUs that go together. Documentation: docs/methods/mlcr.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ._au_relations import are_enough, correlations, gaps, labelled_vectors
from ._base import Batch, Method, Needs, NonNegative, Progress, Range, SearchSpace, Task, Variants
from ._losses import AuLoss, Weighting
from ._mlcr import ClassifierGraph, co_regularisation, multi_view_loss
from ._nets import ImageClassifier


class MLCR(Method):
    """Two trunks with a classifier each, one graph on both; the mean of their answers predicts."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """Knobs of MLCR."""

        weighting: Weighting = "au"
        """Class balance of the labelled term: `au`, `none` or `pos_weight`."""
        lambda_mv: NonNegative = 400.0
        """Weight of the multi-view loss, beside a BCE summed over AUs (as released)."""
        lambda_cr: NonNegative = 100.0
        """Weight of the co-regularisation, beside a BCE summed over AUs (as released)."""
        graph: bool = True
        """Whether the AU graph mixes the classifiers; else each AU's weights are its own."""

    needs = Needs(clip_len=5, key="cyclic", unlabelled_ratio=4)
    search_space: ClassVar[SearchSpace] = {
        "lambda_mv": Range(10.0, 1000.0, log=True),
        "lambda_cr": Range(10.0, 1000.0, log=True),
    }
    variants: ClassVar[Variants] = {
        "no_co_regularisation": {"lambda_cr": 0.0},
        "no_multi_view": {"lambda_mv": 0.0},
        "no_graph": {"graph": False},
        "class_defaults": {"lambda_mv": 100.0, "lambda_cr": 400.0},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.view1, self.view2 = ImageClassifier(task), ImageClassifier(task)
        self.au_loss = AuLoss(task, config.weighting)
        width = self.view1.fc.in_features + 1
        self.relations = ClassifierGraph(self._known_relations(), width) if config.graph else None

    def _known_relations(self) -> Tensor:
        """Return the correlations (A, A) of the labelled frames, none where they are too few."""
        labels = labelled_vectors(self.task)
        if not are_enough(labels):
            self.warnings.append(
                f"mlcr: {len(labels)} labelled frames are too few for a graph of "
                f"{len(self.task.aus)} AUs (more frames than AUs are asked for): each AU stands "
                "alone in it"
            )
            return torch.eye(len(self.task.aus))
        self.warnings.extend(gaps("mlcr", self.task, labels))
        return correlations(labels)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:  # noqa: ARG002
        """Return `au`, `multi_view` and `co_regularisation`, the last over all frames of the batch.

        Metric `disagreement`: the share of answers in which the views differ.
        """
        logits1, logits2 = self._answers(self.encode(self._frames(batch)))
        count, aus = len(batch.key), len(self.task.aus)
        labelled = [self.au_loss(logits[:count], batch.labels) for logits in (logits1, logits2)]
        self.metrics = {"disagreement": ((logits1 >= 0) != (logits2 >= 0)).float().mean()}
        return {
            "au": (labelled[0] + labelled[1]) / 2,
            "multi_view": self.config.lambda_mv / aus * multi_view_loss(*self._classifiers()),
            "co_regularisation": self.config.lambda_cr / aus * co_regularisation(logits1, logits2),
        }

    def _frames(self, batch: Batch) -> Tensor:
        """Return the key frames, then the unlabelled ones while they have a say."""
        weak = batch.unlabelled.get("weak")
        if weak is None or self.config.lambda_cr == 0:
            return batch.key
        return torch.cat([batch.key, weak])

    def _classifiers(self) -> tuple[Tensor, Tensor]:
        """Return each view's own classifier (A, F + 1), its bias in the last column."""
        one, two = (
            torch.cat([view.fc.weight, view.fc.bias[:, None]], dim=1)
            for view in (self.view1, self.view2)
        )
        return one, two

    def _answers(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Classify features (N, 2F) -> the logits (N, A) of each view."""
        one, two = (
            F.linear(part, mixed[:, :-1], mixed[:, -1])
            for part, mixed in zip(features.chunk(2, dim=1), self._mixed(), strict=True)
        )
        return one, two

    def _mixed(self) -> tuple[Tensor, Tensor]:
        one, two = self._classifiers()
        return (one, two) if self.relations is None else (self.relations(one), self.relations(two))

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, 2F): one view's features behind the other's."""
        return torch.cat([self.view1.encode(frames), self.view2.encode(frames)], dim=1)

    def head(self, features: Tensor) -> Tensor:
        """Return the logit (B, A) of the views' mean probability, for the middle frame."""
        logits = torch.stack(self._answers(features[:, features.shape[1] // 2])).float()
        present, absent = F.logsigmoid(logits), F.logsigmoid(-logits)
        return present.logsumexp(0) - absent.logsumexp(0)

    def members(self, features: Tensor) -> dict[str, Tensor]:
        """Return what each view predicts alone."""
        one, two = self._answers(features[:, features.shape[1] // 2])
        return {"view1": one, "view2": two}
