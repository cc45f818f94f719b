"""CasRel (Wei et al., ACL 2020), in the form of kexue.fm/archives/7161: subjects, then the objects of each subject.

The first pass scores each token as the start and as the end of a subject, ``p = σ(z)²``. The second pass takes a subject, and
scores each token as the start and as the end of its object for each predicate, ``p = σ(z)⁴``. It reads the hidden states
through a conditional layer normalisation (kexue.fm/archives/7124) whose gain and offset depend on the subject. The article
replaces the encoder's last normalisation by it; here it is applied to the encoder's output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ie_cli.encoding.word_boundaries import NO_BOUNDARY
from ie_cli.modeling.devices import to_device
from ie_cli.modeling.heads.base import HeadModule, LabelRows, Tensors
from ie_cli.modeling.losses.factorised import Gold, boundaries
from ie_cli.modeling.losses.power import power_loss, power_scores

SUBJECT_POWER, OBJECT_POWER = 2, 4
RANDOM_WIDTH = 10
"""The maximum number of tokens of the random subject of a window without subjects."""
_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class CasRelTargets:
    """The gold of a batch; tensors of int64.

    *Shapes:* subjects ``[n, 3]`` of (sample, first, last), sorted; lasts ``[n]``, sorted within each sample; counts and offsets
    ``[batch]``: the number of subjects of each sample, and of those before it; text ``[batch, 2]``: the first text token and the
    number of text tokens; objects ``[m, 6]`` of (sample, link index, subject first, last, object first, last); sides bool
    ``[batch, 2, L]``: the tokens that spans may start and end with; None for all text tokens.
    """

    subjects: Tensor
    lasts: Tensor
    counts: Tensor
    offsets: Tensor
    text: Tensor
    objects: Tensor
    sides: Tensor | None = None

    def to(self, device: torch.device) -> CasRelTargets:
        subjects, lasts, counts, offsets, text, objects = (
            to_device(part, device)
            for part in (self.subjects, self.lasts, self.counts, self.offsets, self.text, self.objects)
        )
        sides = None if self.sides is None else to_device(self.sides, device)
        return CasRelTargets(subjects, lasts, counts, offsets, text, objects, sides)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw one subject for each sample: the first and the last token, ``[batch]`` each.

        The start is that of a random gold subject, and the end is a random gold end that is not before it. The result may be no
        gold subject; such spans teach the second pass that most spans have no objects. A window without subjects gets a random
        span. The draw uses torch's generator of the CPU, whose state checkpoints store.
        """
        device = self.counts.device
        start_draw, end_draw = to_device(torch.rand(2, len(self.counts)), device)
        nothing = torch.zeros(1, dtype=torch.int64, device=device)  # so that windows without subjects can be indexed
        first = torch.cat([self.subjects[:, 1], nothing])[self.offsets + (start_draw * self.counts).long()]
        later = torch.zeros_like(self.counts).index_add(
            0, self.subjects[:, 0], (self.lasts >= first[self.subjects[:, 0]]).long()
        )
        chosen = self.offsets + self.counts - later + (end_draw * later).long()
        last = torch.cat([self.lasts, nothing])[chosen]
        begin, length = self.text.unbind(1)
        random = begin + (start_draw * length).long()
        width = (begin + length - random).clamp(1, RANDOM_WIDTH)
        some = self.counts > 0
        return torch.where(some, first, random), torch.where(some, last, random + (end_draw * width).long())


class CasRel(HeadModule):
    """The taggers of subjects and objects.

    Args:
        hidden_size: the size of the encoder's output.
        links: the number of link indices, see `LabelSchema.links`.
    """

    queries: ClassVar[Mapping[str, Sequence[str]]] = {"objects": ("sample", "first", "last")}

    def __init__(self, hidden_size: int, links: int) -> None:
        super().__init__()
        self.links = links
        self.subject = nn.Linear(hidden_size, 2)
        self.gain = nn.Parameter(torch.ones(hidden_size))
        self.offset = nn.Parameter(torch.zeros(hidden_size))
        self.condition = nn.Linear(2 * hidden_size, 2 * hidden_size, bias=False)
        nn.init.zeros_(self.condition.weight)  # at first, no subject changes gain and offset
        self.object = nn.Linear(hidden_size, 2 * links)

    def collate(self, entries: Tensors, mask: Tensor) -> CasRelTargets:
        """Return the gold subjects and objects, sorted and validated; the subject of a step is drawn in `losses`."""
        spans = entries["subjects"]
        sides = boundaries(mask, entries) if NO_BOUNDARY in entries else None
        spans = torch.cat([spans[:, :1], torch.zeros_like(spans[:, :1]), spans[:, 1:]], dim=1)
        gold = Gold.build(spans, mask, sides=sides)
        subjects = gold.entries[:, [0, 2, 3]]
        objects = torch.unique(entries["objects"].reshape(-1, 6), dim=0)
        for columns in ([0, 1, 2, 3], [0, 1, 4, 5]):
            Gold.build(objects[:, columns], mask, sides=sides)
        counts = torch.bincount(subjects[:, 0], minlength=len(mask))
        lasts = torch.unique(subjects[:, [0, 2, 1]], dim=0)[:, 1]
        text = torch.stack([mask.long().argmax(dim=1), mask.sum(dim=1)], dim=1)
        offsets = counts.cumsum(0) - counts
        both = None if sides is None else torch.stack(sides, dim=1)
        return CasRelTargets(subjects, lasts, counts, offsets, text, objects, both)

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: CasRelTargets, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return the cross-entropies of the subjects, and of the objects of one subject per window, drawn at random.

        Each is a mean over starts and ends and over the tokens of a window, then over the windows; that of the objects is a sum
        over the link indices. A start or end that no span may have counts as a loss of 0. A window counts the same in any batch,
        so that a batch can be split.
        """
        first, last = targets.draw()
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.to(self.subject.weight.dtype)
            sample, starts, ends = targets.subjects.unbind(1)
            z = self.subject(hidden).transpose(1, 2)  # [batch, 2, L]
            gold = _gold((sample, torch.zeros_like(sample), starts, ends), z.shape)
            each = power_loss(z, gold, SUBJECT_POWER)
            subjects = _mean(_counted(each, targets.sides).mean(dim=1), mask)
            sample, link, begin, end, starts, ends = targets.objects.unbind(1)
            drawn = (begin == first[sample]) & (end == last[sample])
            every = torch.arange(len(mask), device=hidden.device)
            z = self._object_values(hidden, every, first, last)  # [batch, 2 links, L]
            gold = _gold((sample, link, starts, ends), z.shape, here=drawn)
            each = power_loss(z, gold, OBJECT_POWER).reshape(len(z), 2, self.links, -1)
            each = _counted(each, None if targets.sides is None else targets.sides[:, :, None]).mean(dim=1)
            if weights is not None:
                subjects, each = subjects * weights["subjects"][0], each * weights["objects"][:, None]
            return {"subjects": subjects, "objects": _mean(each.sum(dim=1), mask)}

    def outputs(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return the scores s of starts and ends of subjects, ``[batch, 1, L]`` each, in float32."""
        with torch.autocast(hidden.device.type, enabled=False):
            z = self.subject(hidden.to(self.subject.weight.dtype))
            start, end = power_scores(z, SUBJECT_POWER).transpose(1, 2).chunk(2, dim=1)
        return {"subjects.start": start, "subjects.end": end}

    def blocks(self, hidden: Tensor) -> dict[str, Iterator[dict[str, Tensor]]]:
        """Return the scores of subjects in one block; those of objects are found by `query`."""
        return {"subjects": iter([{name.partition(".")[2]: part for name, part in self.outputs(hidden).items()}])}

    def query(self, name: str, hidden: Tensor, arguments: Tensors) -> dict[str, Tensor]:
        """Return the scores s of starts and ends of the objects of some subjects, ``[subjects, links, L]`` each, in float32.

        Args:
            name: ``objects``.
            hidden: the encoder's output ``[batch, L, hidden]``.
            arguments: the ``sample`` of each subject, and its ``first`` and ``last`` token; int64 ``[subjects]``.
        """
        if name not in self.queries:
            return super().query(name, hidden, arguments)
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.to(self.subject.weight.dtype)
            z = self._object_values(hidden, *(arguments[argument] for argument in self.queries[name]))
            start, end = power_scores(z, OBJECT_POWER).chunk(2, dim=1)
        return {"start": start, "end": end}

    def label_rows(self) -> dict[str, LabelRows]:
        """Return the rows of the object tagger: the starts of all link indices, then their ends."""
        return {"object.weight": LabelRows("objects", 2), "object.bias": LabelRows("objects", 2)}

    def _object_values(self, hidden: Tensor, sample: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """Return z of the objects of some subjects, starts before ends: ``[subjects, 2 links, L]``."""
        subject = torch.cat([hidden[sample, first], hidden[sample, last]], dim=1)
        gain, offset = self.condition(subject).chunk(2, dim=1)
        normal = nn.functional.layer_norm(hidden, hidden.shape[-1:], eps=_EPSILON)[sample]
        conditioned = normal * (self.gain + gain)[:, None] + (self.offset + offset)[:, None]
        z: Tensor = self.object(conditioned).transpose(1, 2)
        return z


def _gold(spans: tuple[Tensor, Tensor, Tensor, Tensor], shape: torch.Size, *, here: Tensor | None = None) -> Tensor:
    """Return where the starts and ends of some spans are; bool, in the shape of the values ``[batch, 2 labels, L]``.

    Args:
        spans: their samples, labels, starts and ends.
        shape: the shape; the starts of all labels precede their ends.
        here: which of the spans count; None for all.
    """
    sample, label, starts, ends = spans
    counts = torch.zeros(shape.numel(), device=sample.device)
    terms = torch.ones_like(sample, dtype=counts.dtype) if here is None else here.to(counts.dtype)
    for row, token in ((label, starts), (label + shape[1] // 2, ends)):
        counts.scatter_add_(0, (sample * shape[1] + row) * shape[2] + token, terms)
    return counts.view(shape) > 0


def _counted(each: Tensor, sides: Tensor | None) -> Tensor:
    """Return losses with 0 where `sides` is false."""
    return each if sides is None else each.masked_fill(~sides, 0)


def _mean(each: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the text tokens of each window, then over the windows; `each` is ``[batch, L]``."""
    tokens = mask.sum(dim=1).clamp(min=1)
    return (each.masked_fill(~mask, 0).sum(dim=1) / tokens).mean()


def build(hidden_size: int, labels: Mapping[str, int], /) -> CasRel:
    """Build the taggers for the link indices of the matrix ``objects``."""
    return CasRel(hidden_size, labels["objects"])
