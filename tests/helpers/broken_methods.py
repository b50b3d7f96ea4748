"""A small method that keeps its contract, and the ways of breaking it that authors fall into."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent

GOOD = '''
from dataclasses import dataclass
import random
import time
import numpy
import torch
from torch import nn
from methods._base import Method, Needs
from methods._losses import weighted_bce
# imports

class Small(Method):
    """A small network of its own, on labelled frames."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        width: int = 16
        # knobs

    needs = Needs(clip_len=3, views=("weak",), unlabelled_ratio=2)
    variants = {"wide": {"width": 24}}

    def __init__(self, config, task):
        super().__init__(config, task)
        width = config.width
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 5, 2), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU(),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        )
        self.drop = nn.Dropout(0.1)
        self.fc = nn.Linear(16 * width, len(task.aus))
        # init

    def losses(self, batch, progress):
        features = self.encode(batch.key)
        logits = self.fc(self.drop(features))
        loss = weighted_bce(logits, batch.labels, None)
        # step
        return {"au": loss}

    def encode(self, frames, landmarks=None):
        return self.body(frames)

    def head(self, features):
        middle = features[:, features.shape[1] // 2]
        return self.fc(self.drop(middle))

    # more
'''

_DEPTH = {"imports": 0, "knobs": 8, "init": 8, "step": 8, "more": 4}

BCE = "weighted_bce(logits, batch.labels, None)"
NEEDS = 'Needs(clip_len=3, views=("weak",), unlabelled_ratio=2)'


@dataclass(frozen=True)
class Mistake:
    """A mistake in `GOOD`: which check it fails, the text it puts in, what is to be said of it."""

    check: str
    changes: tuple[tuple[str, str], ...]
    sentence: str
    """A regular expression of what the failure says."""

    def text(self) -> str:
        """Return `GOOD` with the mistake in it."""
        text = GOOD
        for old, new in self.changes:
            assert text.count(old) == 1, f"{old!r} is not in it once"
            text = text.replace(old, new)
        return text


def put(place: str, *lines: str) -> tuple[str, str]:
    """Put lines in at a marked place."""
    assert f"# {place}\n" in GOOD
    return f"{' ' * _DEPTH[place]}# {place}\n", indent("\n".join(lines) + "\n", " " * _DEPTH[place])


MISTAKES = {
    "import of bench": Mistake(
        "imports",
        (put("imports", "from bench.system.seeds import stream_seed"),),
        r"line 10 of bad.py imports bench.system.seeds.stream_seed: a method sees what",
    ),
    "import of a method": Mistake(
        "imports",
        (put("imports", "from methods.ks import KnowledgeSpreader"),),
        r"line 10 of bad.py imports method ks: .* share functions",
    ),
    "late import of a dataset": Mistake(
        "imports",
        (put("step", "import datasets.synthetic"),),
        "imports datasets.synthetic",
    ),
    "no head": Mistake(
        "hooks", (("def head", "def heads"),), "Small does not define head: the loop calls"
    ),
    "needs of another kind": Mistake(
        "hooks", ((NEEDS, "{'clip_len': 5}"),), r"needs is a dict: write needs = Needs\(...\)"
    ),
    "unlabelled frames beside a single one": Mistake(
        "hooks",
        (("clip_len=3", "clip_len=1"),),
        "unlabelled_ratio=2 with clip_len=1 gives no unlabelled frame: ",
    ),
    "clips and unlabelled frames": Mistake(
        "hooks",
        (("unlabelled_ratio=2", "unlabelled_ratio=2, clips=True"),),
        "asks for clips and for unlabelled frames",
    ),
    "no view": Mistake("hooks", (('("weak",)', "()"),), "needs.views is empty"),
    "a knob without a default": Mistake(
        "knobs", (("width: int = 16", "width: int"),), "Config has no default for width: "
    ),
    "a config that is not frozen": Mistake(
        "knobs",
        (("    @dataclass(frozen=True, kw_only=True)\n", ""),),
        "Config is not a frozen dataclass",
    ),
    "a knob of another type than its default": Mistake(
        "knobs",
        (put("knobs", "rate: int = 0.5"),),
        "--set cannot give knob rate its own default 0.5: bad.rate=0.5: it takes a whole number",
    ),
    "a knob that becomes another": Mistake(
        "knobs",
        (put("knobs", "rates: tuple[str, ...] = (1, 2)"),),
        r"--set bad.rates=.* makes \('1', '2'\) of it: the annotation does not fit the default",
    ),
    "a knob without an annotation": Mistake(
        "knobs",
        (put("knobs", "weight = 0.1"),),
        "Config.weight has no annotation, so that it is no knob: write weight: float = 0.1",
    ),
    "a search of what is no range": Mistake(
        "knobs",
        (("    needs = ", "    search_space = {'width': 5}\n    needs = "),),
        r"search_space: the range to search of bad.width is 5: write Range\(low, high\)",
    ),
    "any knob taken": Mistake(
        "knobs",
        (
            put(
                "knobs",
                "def __init__(self, width=16, **rest):",
                "    object.__setattr__(self, 'width', width)",
            ),
        ),
        "a misspelt --set would be ignored",
    ),
    "a variant of no knob": Mistake(
        "knobs",
        (('"width": 24', '"widht": 24'),),
        "variant wide sets what Config does not take: .*did you mean bad:wide.width",
    ),
    "no call of the base": Mistake(
        "construction",
        (("super().__init__(config, task)", "pass"),),
        r"begins with super\(\).__init__\(config, task\) .* "
        r"It raised AttributeError.*\(line \d+ of bad.py\)$",
    ),
    "numpy in the constructor": Mistake(
        "construction",
        (put("init", "numpy.random.rand()"),),
        "the constructor draws from numpy's global generator: ",
    ),
    "a generator of its own": Mistake(
        "construction",
        (
            put(
                "init",
                "own = torch.Generator().manual_seed(time.time_ns())",
                "nn.init.normal_(self.fc.weight, generator=own)",
            ),
        ),
        "two constructions under one seed differ in fc.weight: ",
    ),
    "a seed in the constructor": Mistake(
        "construction",
        (put("init", "torch.manual_seed(0)"),),
        "the constructor seeds torch's generator",
    ),
    "a bare loss": Mistake(
        "losses",
        (('{"au": loss}', "loss"),),
        r"losses\(\) returned a Tensor: return named scalars",
    ),
    "no loss": Mistake("losses", (('{"au": loss}', "{}"),), "returned an empty dict"),
    "a loss a clip": Mistake(
        "losses",
        (put("step", "loss = loss + logits.mean(1)"),),
        r"losses\(\)\['au'\] has shape \(4,\): reduce it",
    ),
    "a loss that is a number": Mistake(
        "losses",
        (('{"au": loss}', '{"au": loss, "more": 0.0}'),),
        r"losses\(\)\['more'\] is a float",
    ),
    "no gradient": Mistake(
        "losses", (put("step", "loss = loss.detach()"),), "no loss carries a gradient"
    ),
    "the log of 0 once": Mistake(
        "losses",
        (put("step", "loss = loss + 0 * (loss * (progress.step < 7)).log()"),),
        "loss 'au' is nan at step 7: ",
    ),
    "a taken name": Mistake(
        "losses", (('"au": loss', '"lr": loss'),), "a loss may not be called 'lr'"
    ),
    "a metric with its graph": Mistake(
        "losses",
        (put("step", "self.metrics = {'mean': logits.mean()}"),),
        r"metrics\['mean'\] still carries its graph",
    ),
    "a metric under a loss's name": Mistake(
        "losses",
        (put("step", "self.metrics = {'au': loss.detach()}"),),
        "a metric may not be called 'au'",
    ),
    "a step that raises": Mistake(
        "losses",
        (put("step", "batch.landmarks.mean()"),),
        r"a step of training does not go through. "
        r"It raised AttributeError: 'NoneType' .*\(line \d+ of bad.py\)$",
    ),
    "other frames audited": Mistake(
        "losses",
        (put("step", "progress.audit(logits > 0, logits > 0)"),),
        "AssertionError: not the frames of this batch",
    ),
    "a detached trunk": Mistake(
        "gradients",
        (("self.encode(batch.key)", "self.encode(batch.key).detach()"),),
        "no gradient ever reached body.0.weight, body.3.weight in 12 steps",
    ),
    "a frozen trunk": Mistake(
        "gradients",
        (put("init", "self.requires_grad_(False)", "self.fc.bias.requires_grad_(True)"),),
        "no weight of the trunk can be trained",
    ),
    "a layer in a list": Mistake(
        "gradients",
        (
            put("init", "self.last = [nn.Linear(len(task.aus), len(task.aus))]"),
            ("self.fc(self.drop(features))", "self.last[0](self.fc(self.drop(features)))"),
        ),
        "2 weights behind the losses are no parameters of the method.*nn.ModuleList",
    ),
    "a backward pass": Mistake(
        "its part",
        (put("step", "loss.backward(retain_graph=True)"),),
        r"losses\(\) left a gradient in body.0.bias, body.0.weight, body.1.bias and \d+ more: "
        r"it must not call backward\(\)",
    ),
    "an optimiser": Mistake(
        "its part",
        (put("init", "self.optimiser = torch.optim.SGD([self.fc.bias], 0.1)"),),
        r"line \d+ of bad.py: torch.optim.SGD\(\) is an optimiser",
    ),
    "an optimiser by another name": Mistake(
        "its part",
        (
            put("imports", "from torch.optim import SGD"),
            put("init", "self.own = SGD([self.fc.bias], 0.1)"),
            put("more", "def after_step(self, progress):", "    self.own.step()"),
        ),
        "the loop owns the optimiser",
    ),
    "weights changed in a step": Mistake(
        "its part",
        (put("step", "with torch.no_grad():", "    self.fc.bias.add_(1e-3)"),),
        r"losses\(\) changed fc.bias: ",
    ),
    "a file": Mistake(
        "its part",
        (put("step", "torch.save(loss, '/dev/null')"),),
        r"torch.save\(\) works on a file",
    ),
    "a device": Mistake(
        "its part",
        (put("step", "if torch.cuda.is_available():", "    self.to('cuda:0')"),),
        "'cuda:0' names a device: take that of the batch",
    ),
    "a tensor left on the CPU": Mistake(
        "device",
        (
            put("init", "self.scale = torch.ones(len(task.aus))"),
            ("self.drop(features))", "self.drop(features)) * self.scale"),
        ),
        "keep tensors with register_buffer",
    ),
    "numpy in a step": Mistake(
        "same seed",
        (put("step", "loss = loss * (1 + 0.1 * numpy.random.rand())"),),
        "differ in .*: it depends on numpy's global generator; ",
    ),
    "random in a step": Mistake(
        "same seed",
        (put("step", "loss = loss * (1 + 0.1 * random.random())"),),
        "it depends on Python's random module; ",
    ),
    "the time in a step": Mistake(
        "same seed",
        (put("step", "loss = loss * (1 + time.monotonic() % 1)"),),
        "it depends on numpy, random, the time, ",
    ),
    "hidden labels": Mistake(
        "hidden labels",
        (
            put(
                "step",
                "audit = getattr(progress.audit, '__self__', None)",
                "if audit is not None:",
                "    hidden = torch.from_numpy(audit._hidden.labels)",
                "    loss = loss * (1 + 0.1 * hidden.sum())",
            ),
        ),
        r"labels that the budget did not pay for change body.0.weight, .*: "
        r"learn from Batch.labels alone",
    ),
    "-1 as absent": Mistake(
        "uncoded labels",
        (("batch.labels,", "batch.labels.clamp(min=0),"),),
        "a label of -1 is learnt as 0: ",
    ),
    "-1 as present": Mistake(
        "uncoded labels", (("batch.labels,", "batch.labels.abs(),"),), "is learnt as 1: "
    ),
    "-1 as a number": Mistake(
        "uncoded labels",
        ((BCE, "nn.functional.binary_cross_entropy_with_logits(logits, batch.labels)"),),
        "a label of -1 is learnt as the number -1: ",
    ),
    "an AU that nobody codes": Mistake(
        "uncoded labels",
        (
            put(
                "step",
                "elements = weighted_bce(logits, batch.labels, None, reduction='none')",
                "loss = (elements.sum(0) / (batch.labels >= 0).sum(0)).mean()",
            ),
        ),
        r"divide by max\(1, n\)",
    ),
    "state outside the state dict": Mistake(
        "stop and go",
        (
            put("init", "self.average = 0.0"),
            put(
                "step",
                "loss = loss * (1 + self.average)",
                "self.average = 0.9 * self.average + 0.1 * float(loss.detach())",
            ),
        ),
        r"stopped and continued differs in .* \(look at self.average\): .* register_buffer",
    ),
    "state that cannot be loaded": Mistake(
        "stop and go",
        (
            put("imports", "from fractions import Fraction"),
            put(
                "more",
                "def get_extra_state(self):",
                "    return {'share': Fraction(1, 2)}",
                "def set_extra_state(self, state):",
                "    pass",
            ),
        ),
        "its state cannot be saved and loaded: .* It raised UnpicklingError",
    ),
    "statistics over the batch": Mistake(
        "batch mates",
        (("return self.body(frames)", "x = self.body(frames)\n        return x - x.mean(0)"),),
        "a clip's logits change by up to .* with the clips beside it: ",
    ),
    "dropout in eval mode": Mistake(
        "batch mates",
        (("self.drop(middle)", "nn.functional.dropout(middle)"),),
        "F.dropout without training=self.training",
    ),
    "a wrong shape": Mistake(
        "batch mates",
        (("self.fc(self.drop(middle))", "self.fc(features)"),),
        r"the prediction for 6 clips of 12 AUs has shape \(6, 3, 12\): ",
    ),
    "a counter of predictions": Mistake(
        "batch mates",
        (
            put("init", "self.register_buffer('seen', torch.zeros(()))"),
            ("middle = ", "self.seen += 1\n        middle = "),
        ),
        "predicting changes seen: ",
    ),
    "a random prediction": Mistake(
        "batch mates",
        (("middle = ", "torch.rand(())\n        middle = "),),
        "predicting draws random numbers",
    ),
    "a predict of its own": Mistake(
        "one encoding",
        (
            put(
                "more",
                "def predict(self, clips, landmarks=None):",
                "    return self.fc(self.body(clips[:, 0]))",
            ),
        ),
        r"predict\(\) differs from head\(encode\(\)\) by up to ",
    ),
    "labels that head needs": Mistake(
        "kept weights",
        (
            put(
                "init",
                "shift = task.labels.clamp(min=0).float().mean(dim=0)",
                "self.register_buffer('shift', shift, persistent=False)",
            ),
            ("self.fc(self.drop(middle))", "self.fc(self.drop(middle)) + self.shift"),
        ),
        r"its weights do not make it again for `predict` \(.*the same weights give other "
        r"probabilities.*\): what the labels of the task tell",
    ),
    "a mix of dtypes": Mistake(
        "mixed precision",
        (
            put(
                "step",
                "kept = torch.zeros(logits.shape)",
                "kept[[0]] = logits[[0]]",
                "loss = loss + 0 * kept.sum()",
            ),
        ),
        r"take the dtype of a new tensor from the one it meets.* It raised RuntimeError: "
        r"Index put .*\(line \d+ of bad.py\)$",
    ),
    "cross-entropy of probabilities": Mistake(
        "mixed precision",
        (
            put(
                "step",
                "share, labels = logits.sigmoid(), batch.labels.clamp(min=0)",
                "loss = loss + 0 * nn.functional.binary_cross_entropy(share, labels)",
            ),
        ),
        "binary_cross_entropy of probabilities is an error in mixed precision on a GPU",
    ),
    "BatchNorm over a single row": Mistake(
        "batch of one",
        (put("init", "self.drop = nn.BatchNorm1d(16 * width)"),),
        "no BatchNorm1d, variance or contrast .* "
        "It raised ValueError: Expected more than 1 value per channel",
    ),
    "the mean of nothing": Mistake(
        "full labels",
        (put("step", "loss = loss + 0 * self.body(batch.unlabelled['weak']).mean()"),),
        "the mean of nothing is NaN; .* It raised NonFiniteLoss",
    ),
    "a lost labelled term": Mistake(
        "learning",
        (put("step", "loss = 0 * loss + 1e-3 * features.square().mean()"),),
        r"after 60 steps the mean AUC on frames of the training subjects is 0\.[45]",
    ),
}
