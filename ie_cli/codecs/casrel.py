"""Encode relations as subjects and the objects of each subject, and decode them in two passes.

Source: CasRel (Wei et al., ACL 2020) in the form of kexue.fm/archives/7161. The first pass scores each token as the start and as
the end of a subject. The second pass scores each token as the start and as the end of an object of one subject, by predicate.
Starts and ends are joined to spans by `decode_nearest`; see there which sets of spans can be expressed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ie_cli.codecs.base import (
    Annotation,
    Candidates,
    Columns,
    Decoded,
    Decoding,
    Floats,
    Index,
    Mask,
    Outputs,
    Targets,
    TokenSpans,
)
from ie_cli.codecs.limits import OBJECT_OVERLAPS, SUBJECT_OVERLAPS
from ie_cli.codecs.nearest import DecodedPairs, best_of_samples, decode_nearest, joint_spans
from ie_cli.codecs.relations import GoldRelations, flat_roles, links_within, to_relations
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.alignment import Boundaries, to_entities, within
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import BoundaryMasks
from ie_cli.recipe.heads import HeadSection, Reads
from ie_cli.triples import ROLES, Mentions

MAX_SUBJECTS = 128
"""The maximum number of subjects per window (one per token if that is more) whose objects are scored, best score first."""
MAX_OBJECTS = 4096
"""The maximum number of starts of objects per window that are joined with ends, and of objects found, in one query."""
MAX_TRIPLES = 512
"""The maximum number of triples returned per window, best score first."""
QUERY_TOKENS = 2**13
"""The maximum number of tokens in one query: subjects times the length of the windows."""
QUERY_SCORES = 2**23
"""The maximum number of scores in one query."""
_PROBES = 4


class CasRelCodec:
    """The codec of relations as subjects and their objects. The entity labels are roles.

    *Stored:* ``subjects`` of (first token, last token); ``links`` of (link index, subject first, last, object first, last), see
    `LabelSchema.links`.

    Only relations that `decode_nearest` can find are stored, so that the stored targets decode to exactly themselves. The
    others are unreachable: of subjects that overlap, and of objects of one subject and predicate that overlap, as many are
    kept as possible.
    """

    reads: Reads = "windows"
    identity: Sequence[Any] = ("casrel", 1)
    columns: Mapping[str, int] = {"subjects": 2, "links": 5}
    token_spans: TokenSpans = {"subjects": ((0, 1),), "links": ((1, 2), (3, 4))}

    def __init__(self, schema: LabelSchema, section: HeadSection) -> None:
        self.schema = schema
        self.matrices: Mapping[str, Sequence[str]] = {"subjects": ROLES[:1], "objects": schema.link_names}

    def encode(
        self,
        document: Document,
        tokens: Tokens,
        plan: WindowPlan,
        *,
        mentions: Mentions = "nearest",
        flat: bool = False,
    ) -> Targets:
        """Encode relations as links; a triple without offsets is one item with any number of links."""
        boundaries = Boundaries(document.text, tokens)
        gold = GoldRelations.build(document, boundaries, plan, self.schema, mentions=mentions)
        if flat:  # what is left has no spans that overlap, and can be expressed
            gold = gold.flat()
        objects = joint_spans(gold.entries[:, :3], gold.entries[:, 3:])
        gold = gold.without(~objects, OBJECT_OVERLAPS)
        subjects = joint_spans(gold.entries[:, :0], gold.entries[:, 1:3])
        gold = gold.without(~subjects, SUBJECT_OVERLAPS)
        links = gold.links()
        columns = {"subjects": np.unique(links[:, 1:3], axis=0), "links": links}
        return Targets(columns, {"relations": gold.count}, {"relations": gold.unreachable_triples()})

    def window(self, targets: Targets, first: int, capacity: int, shift: int) -> dict[str, Index]:
        """Return the subjects and links that lie entirely in a window."""
        subjects = np.insert(targets.columns["subjects"], 0, 0, axis=1)
        return {
            "subjects": within(subjects, first, capacity)[:, 1:] + shift,
            "links": links_within(targets.columns["links"], first, capacity) + shift * np.array([0, 1, 1, 1, 1]),
        }

    def entries(self, columns: Columns) -> dict[str, Index]:
        """Return the entries (sample, first, last) of subjects and (sample, link index, subject, object) of objects."""
        return {"subjects": columns["subjects"], "objects": columns["links"]}

    def decoder(self, decoding: Decoding) -> CasRelDecoder:
        """Return a decoder of triples."""
        return CasRelDecoder(self.schema, decoding)

    def scores(self, outputs: Outputs, sample: int, tokens: Index) -> Iterator[Floats]:
        """Return the scores of subjects ``[2, tokens]``, then, by link index, of the objects of a few spans.

        The spans lie between equidistant tokens, so that the scores of two models are those of the same spans.
        """
        [block] = outputs.matrix("subjects")
        yield np.stack([block[side][sample, 0][tokens] for side in ("start", "end")])
        chosen = tokens[np.linspace(0, len(tokens) - 1, min(len(tokens), _PROBES)).astype(np.int64)]
        if not len(chosen):
            yield from (np.zeros((0, 2, 0), dtype=np.float32) for _ in self.schema.links)
            return
        spans = {"sample": np.full_like(chosen, sample), "first": chosen, "last": np.append(chosen[1:], chosen[-1])}
        found = outputs.query("objects", spans)
        for link in range(len(self.schema.links)):
            yield np.stack([found[side][:, link][:, tokens] for side in ("start", "end")], axis=1)


class CasRelDecoder:
    """Finds subjects, then the objects of all subjects of the batch in one query, which is split only if it is large."""

    tokens: Mapping[str, tuple[int, ...]] = {"links": (1, 2, 3, 4)}

    def __init__(self, schema: LabelSchema, decoding: Decoding) -> None:
        self.schema, self.decoding = schema, decoding
        self.subject_threshold = decoding.minimum_scores(ROLES[:1])
        self.thresholds = decoding.minimum_scores(schema.predicates)
        if ROLES[1] in decoding.thresholds:
            self.thresholds = np.maximum(self.thresholds, decoding.minimum_scores(ROLES[1:]))
        ids = schema.pair_ids
        self.pairs = {n: np.array(list(ids[name].values())) for n, name in enumerate(schema.predicates) if name in ids}

    def decode(self, outputs: Outputs, mask: Mask, boundaries: BoundaryMasks | None = None) -> Decoded:
        """Find the triples of a batch: entries (sample, link index, subject first, last, object first, last)."""
        [block] = outputs.matrix("subjects")
        batch, length = mask.shape
        subjects = decode_nearest(
            block["start"][:, 0],
            block["end"][:, 0],
            mask,
            self.subject_threshold.repeat(batch),
            np.arange(batch),
            limits=np.maximum(MAX_SUBJECTS, mask.sum(axis=1)),
            boundaries=boundaries,
        )
        truncated = subjects.truncated
        entries, scores = [np.zeros((0, 6), dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
        step = max(1, min(QUERY_TOKENS, QUERY_SCORES // (2 * len(self.schema.links))) // length)
        for at in range(0, len(subjects.entries), step):
            part = slice(at, at + step)
            found = self._triples(outputs, subjects.entries[part], subjects.scores[part], mask, boundaries)
            entries.append(found.entries)
            scores.append(found.scores)
            truncated |= found.truncated
        triples, lowest = np.concatenate(entries), np.concatenate(scores)
        kept, more = best_of_samples(triples[:, 0], lowest, np.full(batch, MAX_TRIPLES))
        return Decoded({"links": Candidates(triples[kept], lowest[kept])}, truncated | more)

    def _triples(
        self, outputs: Outputs, subjects: Index, scores: Floats, mask: Mask, boundaries: BoundaryMasks | None
    ) -> DecodedPairs:
        """Return the triples of some subjects; their entries are those of `decode`."""
        sample, first, last = np.ascontiguousarray(subjects.T)
        found = outputs.query("objects", {"sample": sample, "first": first, "last": last})
        start, end = found["start"], found["end"]  # [subjects, links, L]
        count, length = len(self.thresholds), mask.shape[1]
        objects = decode_nearest(
            start[:, :count].reshape(-1, length),
            end[:, :count].reshape(-1, length),
            mask,
            np.tile(self.thresholds, len(subjects)),
            sample.repeat(count),
            limits=np.full(len(mask), MAX_OBJECTS),
            boundaries=boundaries,
        )
        row, begin, stop = objects.entries.T
        subject, link = np.divmod(row, count)
        # A predicate that joins several pairs of types becomes the pair with the highest score, which is the lower of two.
        for predicate, pairs in self.pairs.items():
            at = np.nonzero(link == predicate)[0]
            which = subject[at, None]
            lower = np.minimum(start[which, pairs, begin[at, None]], end[which, pairs, stop[at, None]])
            link[at] = pairs[lower.argmax(axis=1)]
        entries = np.stack([sample[subject], link, first[subject], last[subject], begin, stop], axis=1)
        return DecodedPairs(entries, np.minimum(scores[subject], objects.scores), objects.truncated)

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """Select the triples found in the window that owns them.

        The entities are their subjects and objects; the score of each is that of its best triple.
        """
        if (links := found.get("links")) is None:
            return Annotation(related=True)
        entries, probabilities = self.decoding.owned(links, tokens, plan, self.tokens["links"])
        sides = [np.insert(entries[:, columns], 0, role, axis=1) for role, columns in enumerate(([1, 2], [3, 4]))]
        entities = to_entities(tokens, np.concatenate(sides), np.tile(probabilities, 2), ROLES)
        if self.decoding.flat:
            entities = flat_roles(entities)
        labelled = np.insert(entries, [1, 3], [0, 1], axis=1)  # the labels of subject and object are their roles
        relations = to_relations(tokens, labelled, probabilities, schema=self.schema, text=text, entities=entities)
        return Annotation(entities, relations, related=True)
