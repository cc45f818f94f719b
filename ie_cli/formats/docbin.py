"""spaCy's DocBin (.spacy), the training data of spaCy: entities, and spans that may overlap.

Reading and writing need spaCy, the extra ``spacy``. The entities of a document are its ``ents`` and the spans of all
its groups (``doc.spans``), each once; how many come from where is reported. The text is that of the tokens with their spaces.

Written are tokens of spaCy's tokenizer without a language, split at the boundaries of entities. Entities go to ``ents``. If some
overlap, ``ents`` has the longest ones, and the span group ``sc``, which spaCy's span categorizer reads, has all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats.common.base import (
    RELATIONS_LOST,
    SURROGATES_LOST,
    BadLine,
    Container,
    Format,
    Reading,
    Record,
    Save,
    checked_entity,
    count_id_and_fields,
    count_native_only,
    count_unlocated,
    error_at,
    read_no_lines,
)
from ie_cli.formats.conll_writer import longest_non_overlapping
from ie_cli.formats.table import count_surrogates, without_surrogates
from ie_cli.system.distribution import install_hint
from ie_cli.system.expansion import require_moderate_zlib
from ie_cli.system.optional_packages import with_code
from ie_cli.system.streams import new_file

SUFFIX = ".spacy"
GROUP = "sc"
_HINT = "write it again with spaCy: DocBin(docs=docs).to_disk(PATH)."


def holds(path: str) -> bool:
    """Return whether a path is a DocBin by its suffix."""
    return path.lower().endswith(SUFFIX)


def read(path: str, reading: Reading) -> Iterator[Record]:
    """Yield a document for each Doc, and report where the entities come from.

    Raises:
        DataError: the file is damaged or expands too much, or spaCy is not installed.
    """
    spacy = _spacy(path, "reading")
    require_moderate_zlib(path)
    try:
        docs = spacy.tokens.DocBin().from_disk(path).get_docs(spacy.vocab.Vocab())
    except Exception as error:  # of decompression, msgpack and numpy
        raise _damaged(path, error) from error
    origins: Counter[str] = Counter()
    for number, doc in enumerate(_all(docs, path), 1):
        where = f"{path}:{number}"
        if doc.has_unknown_spaces:
            origins["documents without the spaces of their text, joined with single ones"] += 1
        document = Document(doc.text, where=where)
        try:
            if reading.annotation:
                document.entities = _entities(doc, origins)
                document.attach_text()
            yield document
        except DataError as error:
            yield BadLine(where, doc.text, error_at(where, error, _HINT))
    if origins:
        reading.report(f"{path}: " + "; ".join(f"{what}: {count:,}" for what, count in origins.items()))


def _all(docs: Iterator[Any], path: str) -> Iterator[Any]:
    try:
        yield from docs
    except DataError:
        raise
    except Exception as error:  # see `read`
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> DataError:
    return DataError(f"{path}: not a readable DocBin: {str(error)[:200] or type(error).__name__}", hint=_HINT)


def _entities(doc: Any, origins: Counter[str]) -> list[Entity]:
    groups = {"entities of doc.ents": doc.ents} | {
        f"spans of doc.spans[{name!r}]": doc.spans[name] for name in doc.spans
    }
    found: dict[Entity, None] = {}
    for name, spans in groups.items():
        for span in spans:
            if not span.label_:
                origins["spans without a label, left out"] += 1
                continue
            origins[name] += 1
            found[checked_entity(span.start_char, span.end_char, span.label_, doc.text)] = None
    return sorted(found)


def _spacy(path: str, what: str) -> Any:
    try:
        return with_code(import_module("spacy"))
    except ImportError as error:
        raise DataError(f"{path}: {what} .spacy requires the spacy package", hint=install_hint("spacy")) from error


@cache
def _tokenizer(spacy: Any) -> Any:
    return spacy.blank("xx").tokenizer


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `save` cannot store."""
    return {
        RELATIONS_LOST: len(set(document.relations)) + count_unlocated(document),
        SURROGATES_LOST: count_surrogates(document.text),
        **count_id_and_fields(document),
        **count_native_only(document),
    }


@contextmanager
def save(path: str) -> Iterator[Save]:
    """Create a file, and store each document as a Doc."""
    spacy = _spacy(path, "writing")
    tokenizer = _tokenizer(spacy)
    docs = spacy.tokens.DocBin()

    def store(document: Document) -> Mapping[str, int]:
        docs.add(_doc(spacy, tokenizer, document))
        return {}

    with new_file(path) as new:
        yield store
        docs.to_disk(new)


def _doc(spacy: Any, tokenizer: Any, document: Document) -> Any:
    entities = sorted(set(document.entities))
    text = without_surrogates(document.text)
    begins, ends = {entity.start for entity in entities}, {entity.end for entity in entities}
    gaps: set[int] = set()  # spaces that belong to the token before them
    cuts = begins | ends | {0, len(text)}
    for token in tokenizer(text):
        end = token.idx + len(token.text)
        cuts |= {token.idx, end}
        gaps |= {end} if token.whitespace_ else set()
    words: list[str] = []
    spaces: list[bool] = []
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for start, end in pairwise(sorted(cuts)):
        if start in gaps and words and start not in begins and end not in ends:
            spaces[-1] = True
            continue
        first[start], last[end] = len(words), len(words) + 1
        words.append(text[start:end])
        spaces.append(False)
    doc = spacy.tokens.Doc(tokenizer.vocab, words=words, spaces=spaces)

    def spans(some: Iterable[Entity]) -> list[Any]:
        return [spacy.tokens.Span(doc, first[one.start], last[one.end], label=one.label) for one in some]

    flat = longest_non_overlapping(entities)
    doc.set_ents(spans(flat))
    if len(flat) < len(entities):
        doc.spans[GROUP] = spans(entities)
    return doc


FORMAT = Format(
    "spacy",
    "spaCy's DocBin (.spacy), with spaCy: entities and spans",
    read_no_lines,
    count_losses=count_losses,
    suffixes=(SUFFIX,),
    container=Container(read, holds, save),
)
