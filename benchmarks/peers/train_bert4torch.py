"""Train the models of bert4torch as its published examples do: Adam with a constant rate, and the best epoch on dev.

Methods: global_pointer, efficient_global_pointer, gplinker, casrel. Two things differ from the examples: the encoder gets segment
ids in all of them, and relations are at their gold offsets if the data have them, and otherwise, as in the examples, at the first
occurrence of their texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bert4torch.models  # before its layers, whose import would otherwise fail
import common
import numpy as np
import torch
from bert4torch.layers import EfficientGlobalPointer, GlobalPointer, LayerNorm
from bert4torch.losses import MultilabelCategoricalCrossentropy, SparseMultilabelCategoricalCrossentropy
from bert4torch.tokenizers import Tokenizer
from common import Best, Options, Predict, Sentence
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

HEAD_SIZE = 64
SPANS, ITEMS = 200, 1000
"""The largest numbers of subjects or objects, and of items, of a sentence: only models that have hardly learned find more."""
SUBJECT_START, SUBJECT_END = OBJECT_START, OBJECT_END = 0.6, 0.5
Places = tuple[int, int, int, int, int]
"""Predicate, first and last token of the subject, first and last token of the object."""


def encoder_of(options: Options) -> nn.Module:
    """Build its BERT with the weights of the encoder; it reads only the names of pretraining checkpoints itself."""
    directory = Path(options.encoder)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8")) | {"model": "bert"}
    path = Path(options.work) / "bert4torch_config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    model = bert4torch.models.build_transformer_model(config_path=str(path))
    weights = load_file(directory / "model.safetensors")
    names = {own: name.removeprefix("bert.") for own, name in model.variable_mapping().items()}
    parameters = dict(model.named_parameters())
    model.load_state_dict({own: weights[names[own]] for own in parameters}, strict=False)  # without buffers
    return model


class Text:
    """The tokens of a sentence, and their characters."""

    def __init__(self, tokenizer: Tokenizer, sentence: Sentence, most: int) -> None:
        tokens = tokenizer.tokenize(sentence.text, maxlen=most)
        self.ids = tokenizer.tokens_to_ids(tokens)
        self.places = tokenizer.rematch(sentence.text, tokens)
        self.sentence = sentence
        self.firsts = {place[0]: token for token, place in enumerate(self.places) if place}
        self.lasts = {place[-1] + 1: token for token, place in enumerate(self.places) if place}

    def tokens_of(self, span: common.Span) -> tuple[int, int] | None:
        """Return the first and the last token of a span, or None if its boundaries are inside tokens or cut off."""
        start, end = span
        return (self.firsts[start], self.lasts[end]) if start in self.firsts and end in self.lasts else None

    def characters_of(self, first: int, last: int) -> common.Span:
        """Return the span of tokens."""
        return self.places[first][0], self.places[last][-1] + 1

    def usable(self, first: int, last: int) -> bool:
        """Whether both are tokens of the text, in order."""
        return first <= last and bool(self.places[first]) and bool(self.places[last])


def positive(scores: Any, most: int) -> Any:
    """Return the indices of the scores above 0 ``[n, dimensions]``; of more than `most`, those of the highest scores."""
    cells = np.argwhere(scores > 0)
    if len(cells) > most:
        cells = cells[np.argpartition(-scores[tuple(cells.T)], most)[:most]]
    return cells


def padded_ids(texts: Sequence[Text]) -> Tensor:
    """Return the ids of a batch."""
    return nn.utils.rnn.pad_sequence([torch.tensor(text.ids) for text in texts], batch_first=True)


class Base(nn.Module):
    """What the models share."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.encoder = encoder_of(options)
        self.size: int = self.encoder.config["hidden_size"]
        settings = json.loads((Path(options.encoder) / "tokenizer_config.json").read_text(encoding="utf-8"))
        vocabulary = str(Path(options.encoder) / "vocab.txt")
        self.tokenizer = Tokenizer(vocabulary, do_lower_case=settings["do_lower_case"])
        self.most = options.max_length

    def text(self, sentence: Sentence) -> Text:
        """Tokenise a sentence."""
        return Text(self.tokenizer, sentence, self.most)

    def hidden(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output of the encoder, and the mask of tokens."""
        return self.encoder([ids, torch.zeros_like(ids)]), ids.gt(0).long()

    def loss(self, texts: Sequence[Text]) -> Tensor:
        """The loss of a batch."""
        raise NotImplementedError

    def find(self, texts: Sequence[Text]) -> list[list[common.Item]]:
        """The items of a batch."""
        raise NotImplementedError


class Entities(Base):
    """GlobalPointer, or its efficient form, with dense targets."""

    def __init__(self, options: Options, labels: Sequence[str], scorer: Any) -> None:
        super().__init__(options)
        self.labels = list(labels)
        self.head = scorer(self.size, len(labels), HEAD_SIZE)
        self.loss_of = MultilabelCategoricalCrossentropy()

    def scores(self, texts: Sequence[Text]) -> Tensor:
        """Scores ``[batch, labels, L, L]``."""
        return self.head(*self.hidden(padded_ids(texts).to(common.device())))

    def loss(self, texts: Sequence[Text]) -> Tensor:
        scores = self.scores(texts)
        gold = torch.zeros_like(scores)
        for row, text in enumerate(texts):
            for start, end, label in text.sentence.entities:
                if (place := text.tokens_of((start, end))) is not None:
                    gold[row, self.labels.index(label), place[0], place[1]] = 1
        cells = scores.shape[0] * scores.shape[1]
        return self.loss_of(scores.reshape(cells, -1), gold.reshape(cells, -1))

    def find(self, texts: Sequence[Text]) -> list[list[common.Item]]:
        found: list[list[common.Item]] = []
        for text, scores in zip(texts, self.scores(texts).cpu().numpy(), strict=True):
            cells = [cell for cell in positive(scores, ITEMS) if text.usable(*cell[1:])]
            found.append([(*text.characters_of(first, last), self.labels[label]) for label, first, last in cells])
        return found


class Relations(Base):
    """What the models of relations share."""

    def __init__(self, options: Options, predicates: Sequence[str]) -> None:
        super().__init__(options)
        self.predicates = list(predicates)

    def gold(self, text: Text) -> set[Places]:
        """The relations of a sentence by their tokens."""
        sentence = text.sentence
        if sentence.relations:
            ends = ((text.tokens_of(s), predicate, text.tokens_of(o)) for s, predicate, o in sentence.relations)
        else:
            ends = ((self.search(s, text), predicate, self.search(o, text)) for s, predicate, o in sentence.triples)
        return {(self.predicates.index(p), *s, *o) for s, p, o in ends if s is not None and o is not None}

    def search(self, mention: str, text: Text) -> tuple[int, int] | None:
        """Return the first and last token of the first occurrence of the tokens of a mention."""
        ids = self.tokenizer.tokens_to_ids(self.tokenizer.tokenize(mention))[1:-1]
        for first in range(len(text.ids) - len(ids) + 1):
            if ids and text.ids[first : first + len(ids)] == ids:
                return first, first + len(ids) - 1
        return None


class GPLinker(Relations):
    """A GlobalPointer for subjects and objects, and two for their first and last tokens."""

    def __init__(self, options: Options, predicates: Sequence[str]) -> None:
        super().__init__(options, predicates)
        links = [
            GlobalPointer(self.size, len(predicates), HEAD_SIZE, RoPE=False, tril_mask=False),
            GlobalPointer(self.size, len(predicates), HEAD_SIZE, RoPE=False, tril_mask=False),
        ]
        self.heads = nn.ModuleList([GlobalPointer(self.size, 2, HEAD_SIZE), *links])
        self.loss_of = SparseMultilabelCategoricalCrossentropy(mask_zero=True)

    def scores(self, texts: Sequence[Text]) -> list[Tensor]:
        """Scores ``[batch, labels, L, L]`` of each head."""
        hidden, mask = self.hidden(padded_ids(texts).to(common.device()))
        return [head(hidden, mask) for head in self.heads]

    def loss(self, texts: Sequence[Text]) -> Tensor:
        losses = []
        cells: list[list[list[set[tuple[int, int]]]]] = [
            [[set() for _ in range(head.heads)] for _ in texts] for head in self.heads
        ]
        for row, text in enumerate(texts):
            for predicate, s, s_last, o, o_last in self.gold(text):
                cells[0][row][0].add((s, s_last))
                cells[0][row][1].add((o, o_last))
                cells[1][row][predicate].add((s, o))
                cells[2][row][predicate].add((s_last, o_last))
        for scores, gold in zip(self.scores(texts), cells, strict=True):
            length, most = scores.shape[-1], max(1, *(len(each) for row in gold for each in row))
            target = torch.zeros(*scores.shape[:2], most, dtype=torch.long, device=scores.device)  # 0: no item
            for row, labels in enumerate(gold):
                for label, places in enumerate(labels):
                    for number, (first, last) in enumerate(sorted(places)):
                        target[row, label, number] = first * length + last
            losses.append(self.loss_of(scores.flatten(2), target).sum(dim=1).mean())
        return sum(losses) / len(losses)

    def find(self, texts: Sequence[Text]) -> list[list[common.Item]]:
        entities, starts, ends = (scores.cpu().numpy() for scores in self.scores(texts))
        found: list[list[common.Item]] = []
        for row, text in enumerate(texts):
            subjects, objects = (self._spans(text, entities[row, side]) for side in (0, 1))
            pairs = [np.ix_(range(len(self.predicates)), subjects[:, end], objects[:, end]) for end in (0, 1)]
            links = np.minimum(starts[row][pairs[0]], ends[row][pairs[1]])
            items: list[common.Item] = []
            for predicate, s, o in positive(links, ITEMS):
                both = text.characters_of(*subjects[s]), text.characters_of(*objects[o])
                items.append((both[0], self.predicates[predicate], both[1]))
            found.append(items)
        return found

    def _spans(self, text: Text, scores: Any) -> Any:
        """Return the tokens of the spans with a score above 0, ``[n, 2]``."""
        spans = [span for span in positive(scores, SPANS) if text.usable(*span)]
        return np.array(spans, dtype=int).reshape(-1, 2)


class CasRel(Relations):
    """Subjects as first and last tokens; then, given one of them, objects by predicate."""

    def __init__(self, options: Options, predicates: Sequence[str]) -> None:
        super().__init__(options, predicates)
        self.subjects = nn.Linear(self.size, 2)
        self.condition = LayerNorm(self.size, conditional_size=2 * self.size)
        self.objects = nn.Linear(self.size, 2 * len(predicates))
        self.loss_of = nn.BCELoss(reduction="none")

    def object_scores(self, hidden: Tensor, subjects: Tensor) -> Tensor:
        """Probabilities ``[batch, L, predicates, 2]``, given the first and last tokens of a subject ``[batch, 2]``."""
        rows = torch.arange(len(hidden), device=hidden.device)
        subject = torch.cat([hidden[rows, subjects[:, 0]], hidden[rows, subjects[:, 1]]], dim=-1)
        scores = torch.sigmoid(self.objects(self.condition(hidden, subject))) ** 4
        return scores.reshape(*scores.shape[:2], len(self.predicates), 2)

    def loss(self, texts: Sequence[Text]) -> Tensor:
        golds = [self.gold(text) for text in texts]
        texts, golds = zip(*[(t, g) for t, g in zip(texts, golds, strict=True) if g], strict=True)
        hidden, mask = self.hidden(padded_ids(texts).to(common.device()))
        subject_gold = torch.zeros(*mask.shape, 2, device=mask.device)
        object_gold = torch.zeros(*mask.shape, len(self.predicates), 2, device=mask.device)
        chosen = []
        for row, gold in enumerate(golds):
            firsts, lasts = np.array(sorted({(s, s_last) for _, s, s_last, _, _ in gold})).T
            subject_gold[row, firsts, 0] = subject_gold[row, lasts, 1] = 1
            first = np.random.choice(firsts)
            last = np.random.choice(lasts[lasts >= first])  # perhaps that of another one, which has no objects
            chosen.append((int(first), int(last)))
            for predicate, s, s_last, o, o_last in gold:
                if (s, s_last) == chosen[-1]:
                    object_gold[row, o, predicate, 0] = object_gold[row, o_last, predicate, 1] = 1
        subject_scores = torch.sigmoid(self.subjects(hidden)) ** 2
        object_scores = self.object_scores(hidden, torch.tensor(chosen, device=mask.device))
        subject_loss = self.loss_of(subject_scores, subject_gold).mean(dim=-1)
        object_loss = self.loss_of(object_scores, object_gold).mean(dim=-1).sum(dim=-1)
        return ((subject_loss + object_loss) * mask).sum() / mask.sum()

    def find(self, texts: Sequence[Text]) -> list[list[common.Item]]:
        hidden, _ = self.hidden(padded_ids(texts).to(common.device()))
        scores = torch.sigmoid(self.subjects(hidden)).square().cpu().numpy()
        found: list[list[common.Item]] = []
        for row, text in enumerate(texts):
            tokens = [token for token, place in enumerate(text.places) if place]
            firsts = [token for token in tokens if scores[row, token, 0] > SUBJECT_START]
            lasts = [token for token in tokens if scores[row, token, 1] > SUBJECT_END]
            subjects = [
                (first, next(last for last in lasts if last >= first))
                for first in firsts
                if lasts and lasts[-1] >= first
            ]
            items: list[common.Item] = []
            if subjects:
                given = torch.tensor(subjects, device=hidden.device)
                objects = self.object_scores(hidden[row].expand(len(subjects), -1, -1), given).cpu().numpy()
                for subject, own in zip(subjects, objects, strict=True):
                    items += self._objects(text, subject, own, tokens)
            found.append(items)
        return found

    def _objects(self, text: Text, subject: tuple[int, int], scores: Any, tokens: Sequence[int]) -> list[common.Item]:
        items: list[common.Item] = []
        for predicate, name in enumerate(self.predicates):
            lasts = [token for token in tokens if scores[token, predicate, 1] > OBJECT_END]
            for first in (token for token in tokens if scores[token, predicate, 0] > OBJECT_START):
                if (last := next((last for last in lasts if last >= first), None)) is not None:
                    items.append((text.characters_of(*subject), name, text.characters_of(first, last)))
        return items


def build(options: Options, sentences: Sequence[Sentence]) -> Base:
    """Build the model of a method."""
    if options.method == "gplinker":
        return GPLinker(options, common.predicates_of(sentences))
    if options.method == "casrel":
        return CasRel(options, common.predicates_of(sentences))
    scorer = {"global_pointer": GlobalPointer, "efficient_global_pointer": EfficientGlobalPointer}[options.method]
    return Entities(options, common.labels_of(sentences), scorer)


def train(options: Options) -> tuple[Predict, list[float]]:
    """Train a model."""
    sentences, dev = common.read_sentences(options.train), common.read_sentences(options.dev)
    model = build(options, sentences).to(common.device())
    relations = isinstance(model, Relations)
    texts = [model.text(sentence) for sentence in sentences]
    if isinstance(model, CasRel):
        texts = [text for text in texts if model.gold(text)]  # the example leaves out sentences without a relation
    loader: Any = DataLoader(texts, options.batch_size, shuffle=True, collate_fn=list)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.rate)

    def predict(some: Sequence[Sentence]) -> list[list[common.Item]]:
        model.eval()
        with torch.no_grad():
            parts = [model.find([model.text(each) for each in batch]) for batch in common.batches(some)]
        return [items for part in parts for items in part]

    best = Best()
    for _ in range(options.epochs):
        model.train()
        for batch in loader:
            loss = model.loss(batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        best.offer(model, common.dev_f1(dev, predict(dev), relations=relations))
    best.restore(model)
    return predict, best.curve


if __name__ == "__main__":
    common.run(train)
