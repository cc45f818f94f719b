"""Measure the texts that a model is trained on, so that prediction knows which texts are unlike them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ie_cli.data.document_shards import DocumentShards
from ie_cli.encoding.sentences import sentence_spans
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.inference.model_directory import SeenTexts
from ie_cli.recipe.context import ContextSection
from ie_cli.training.context_buckets import ContextBuckets
from ie_cli.training.encoded_dataset import EncodedDataset
from ie_cli.training.text_joining import TextJoiner

MEASURED = 4096
"""The number of texts that are measured, at regular intervals, if there are more."""


def seen_texts(documents: DocumentShards, tokenizer: TextTokenizer, *, language: str) -> SeenTexts:
    """Return percentiles of the tokens and the sentences per text.

    Args:
        documents: the training texts.
        tokenizer: the tokenizer of the model.
        language: the ISO 639 code of the texts, for abbreviations.
    """
    texts = [document.text for document in documents.every(max(1, -(-len(documents) // MEASURED)))]
    tokens = [len(found) for found in tokenizer.encode(texts)]
    sentences = [len(sentence_spans(text, language)) for text in texts]
    return SeenTexts(_quantile(tokens, 0.99), _quantile(sentences, 0.99), _quantile(sentences, 0.9))


def with_context(seen: SeenTexts, dataset: EncodedDataset, context: ContextSection, joiner: TextJoiner) -> SeenTexts:
    """Return the size of training texts of which some are joined.

    No relation connects the joined texts, so that the numbers of sentences are those of each: a document that is cut into such
    pieces loses nothing that the model could find, and is annotated better than in larger ones (benchmarks/RESULTS.md).
    """
    buckets = ContextBuckets(dataset, context, gap=joiner.gap, longest=joiner.longest, batch_size=1)
    return replace(seen, tokens=max(seen.tokens, buckets.extent().tokens))


def _quantile(counts: Sequence[int], share: float) -> int:
    """Return the smallest of the counts that at least this share of them does not exceed, or 1."""
    return max(1, int(np.quantile(counts, share, method="inverted_cdf")))
