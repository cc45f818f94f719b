"""`ie import-predictions`: turn what a language model or GLiNER wrote into documents with offsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any

from ie_cli.commands.console import say, warn
from ie_cli.commands.inputs import Input
from ie_cli.commands.progress import counting
from ie_cli.commands.records import (
    Out,
    Output,
    RecordWriter,
    Tally,
    open_target,
    output_format_of,
    report_omissions,
    report_setup,
    write_all,
)
from ie_cli.commands.sources import Sources
from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.formats import BadLine
from ie_cli.formats.common.answers import AROUND, ENTITIES, RELATIONS, Answer, Link, Mention, parse_answer
from ie_cli.formats.common.base import error_at, quoted, short
from ie_cli.formats.common.placing import Occurrences, folded, place
from ie_cli.formats.jsonl import dump
from ie_cli.system.json_reading import loads
from ie_cli.system.streams import open_output, read_lines

_IDS, _TEXTS = ("id", "custom_id", "doc_id"), ("text", "sentence")
_SHOWN = 3
_LINE_HINT = "write one JSON value per line; `jq -c '.[]' FILE` does that to an array."


@dataclass(slots=True)
class Findings:
    """What became of the items of all answers, with the first examples of what was not placed.

    Attributes:
        rejects: where items that were not placed are written, if anywhere.
    """

    rejects: Out | None = None
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def lose(self, what: str, where: str, item: Any) -> None:
        """Count an item that is not in the output."""
        self.counts[what] += 1
        shown = self.examples.setdefault(what, [])
        if len(shown) < _SHOWN:
            shown.append(f"{where}: {_shown(item)}")
        if self.rejects is not None:
            raw = asdict(item) if isinstance(item, (Mention, Link)) else item
            self.rejects.write(dump({"where": where, "error": what, "line": dump({"item": raw}).strip()}))

    def report(self, *, rejects: str | None) -> None:
        """Warn about what is not in the output."""
        for what, shown in self.examples.items():
            count, more = self.counts[what], " …" if self.counts[what] > len(shown) else ""
            place = f"; all are in {rejects}" if rejects is not None else ""
            warn(f"{what}: {count:,}; {'; '.join(shown)}{more}{place}")


def _shown(item: Any) -> str:
    if isinstance(item, Mention):
        return f"{quoted(item.text)} ({item.label})"
    return f"{item.subject} {item.predicate} {item.object}" if isinstance(item, Link) else short(item)


def run_import(
    path: str, texts: Input | None, output: Output, *, occurrences: Occurrences | None, target: str | None, quiet: bool
) -> None:
    """Read answers, place their mentions, and write the documents."""
    format = output_format_of(target, output.path)
    sources = Sources.find([Input(path), *([texts] if texts is not None else [])], quiet=True)
    output.validate_target(format, sources)
    sources.require_exist()
    tally, findings = Tally(), Findings()
    with ExitStack() as stack:
        out = stack.enter_context(open_target(format, output.path))
        findings.rejects = stack.enter_context(open_output(output.rejects)) if output.rejects is not None else None
        writer = RecordWriter(format, output.on_error, out, findings.rejects, tally)
        count = stack.enter_context(counting("placing", quiet=quiet))
        reader = _Reader(path, texts, occurrences, findings)
        write_all(reader.records(), writer, count, live=False)
        if not reader.answers:
            raise DataError(f"{'stdin' if path == '-' else path}: no answers", hint=_LINE_HINT)
    counts = findings.counts
    if not quiet:
        placed = f"{counted(counts['entity'], 'entity', 'entities')} and {counted(counts['relation'], 'relation')}"
        say(f"{placed} placed in {counted(tally.written, 'record')}")
        if counts["folded"]:
            say(f"{counted(counts['folded'], 'mention')} found by ignoring case, width, whitespace or kinds of quotes")
        report_setup(tally, format)
    if counts["moved"]:
        warn(f"offsets that do not cover their mention, which was looked up instead: {counts['moved']:,}")
    if reader.unanswered:
        warn(f"texts without an answer, which are not written: {reader.unanswered:,}")
    if reader.repeated:
        warn(f"answers with the id of an earlier one, so that their texts are written again: {reader.repeated:,}")
    findings.report(rejects=output.rejects)
    report_omissions(tally, output)


@dataclass(slots=True)
class _Reader:
    """Reads answers and their texts.

    Attributes:
        unanswered: number of texts without an answer, if they are joined by their ids.
        repeated: number of answers with the id of an earlier one.
        answers: number of answers.
    """

    path: str
    texts: Input | None
    occurrences: Occurrences | None
    findings: Findings
    unanswered: int = 0
    repeated: int = 0
    answers: int = 0

    def records(self) -> Iterator[Document | BadLine]:
        """Yield a document for each answer, and a bad line for each one that cannot be read."""
        answers = self._answers()
        if self.texts is None:
            for where, raw, value in answers:
                yield self._record(where, raw, value, None)
            return
        head = []  # the answers up to the first one that can be read, which shows whether they have ids
        for answer in answers:
            head.append(answer)
            if not isinstance(answer[2], DataError):
                break
        if not head:
            return
        found = _documents(self.texts)
        document = next(found, None)
        answers, found = chain(head, answers), found if document is None else chain([document], found)
        if document is not None and document.id is not None and _id_of(head[-1][2]) is not None:
            yield from self._by_id(answers, found)
        else:
            yield from self._in_order(answers, found)

    def _by_id(
        self, answers: Iterator[tuple[str, str, Any]], documents: Iterator[Document]
    ) -> Iterator[Document | BadLine]:
        known: dict[str, Document] = {}
        for document in documents:
            if document.id is None or str(document.id) in known:
                what = "no id" if document.id is None else f"the id {quoted(document.id)}, as an earlier one"
                raise DataError(
                    f"{document.where}: the text has {what}, and answers are joined with texts by ids",
                    hint="give each text an id of its own, or remove the ids of all answers: they are then joined in order.",
                )
            known[str(document.id)] = document
        answered: set[str] = set()
        for where, raw, value in answers:
            key = str(_id_of(value))
            if key not in known:
                got = "no id" if _id_of(value) is None else f"the id {quoted(key)}, which no text has"
                error = value if isinstance(value, DataError) else DataError(f"the answer has {got}")
                yield BadLine(where, raw, error_at(where, error))
                continue
            self.repeated += key in answered
            answered.add(key)
            yield self._record(where, raw, value, known[key])
        self.unanswered = len(known) - len(answered)

    def _in_order(
        self, answers: Iterator[tuple[str, str, Any]], documents: Iterator[Document]
    ) -> Iterator[Document | BadLine]:
        number = 0
        for number, (where, raw, value) in enumerate(answers, 1):
            document = next(documents, None)
            if document is None:
                raise _uneven(self.path, f"more answers than the {counted(number - 1, 'text')}")
            own, id = _text_of(value), _id_of(value)
            if id is not None and document.id is not None and str(id) != str(document.id):
                error = DataError(
                    f"{where}: its id is {quoted(id)}, but that of {document.where} is {quoted(document.id)}",
                    hint="answers are joined with texts by ids if the first answer has one: give each answer its id.",
                )
                yield BadLine(where, raw, error)
                continue
            if own is not None and folded(own, keep_spaces=False)[0] != folded(document.text, keep_spaces=False)[0]:
                error = DataError(
                    f"{where}: its text is {quoted(own)}, but that of {document.where} is {quoted(document.text)}",
                    hint="without ids, answers are joined with texts in their order: check that none is missing.",
                )
                yield BadLine(where, raw, error)
                continue
            yield self._record(where, raw, value, document)
        if (left := sum(1 for _ in documents)) > 0:
            raise _uneven(self.path, f"{counted(number, 'answer')}, but {counted(number + left, 'text')}")

    def _answers(self) -> Iterator[tuple[str, str, Any]]:
        """Yield the place, the line and the JSON value of each answer, or its error as the value."""
        name = "stdin" if self.path == "-" else self.path
        for number, line in read_lines(self.path):
            if line.strip():
                self.answers += 1
                try:
                    yield f"{name}:{number}", line, loads(line)
                except ValueError as error:
                    yield f"{name}:{number}", line, DataError(f"invalid JSON: {error}", hint=_LINE_HINT)

    def _record(self, where: str, raw: str, value: Any, document: Document | None) -> Document | BadLine:
        try:
            if isinstance(value, DataError):
                raise value
            text = _text_of(value) if document is None else document.text
            if text is None:
                raise DataError("the answer has no text", hint="add the field 'text', or name the texts with --texts.")
            is_record = isinstance(value, dict) and (_text_of(value) is not None or _id_of(value) is not None)
            answer = parse_answer(value, is_record=is_record)
        except DataError as error:
            return BadLine(where, raw, error_at(where, error))
        return self._placed(where, answer, document or _document_of(text, value))

    def _placed(self, where: str, answer: Answer, document: Document) -> Document:
        placed, counts = place(document.text, answer, self.occurrences), self.findings.counts
        counts.update(entity=len(placed.entities), relation=len(placed.relations))
        counts.update(folded=placed.folded, moved=placed.moved)
        for item in placed.absent:
            self.findings.lose("mentions and triples that are not in their text", where, item)
        for mention in placed.repeated:
            self.findings.lose("mentions that are listed more often than they occur", where, mention)
        for unusable in answer.unusable:
            self.findings.lose("items without a text or a name", where, unusable)
        return replace(
            document,
            entities=placed.entities,
            relations=placed.relations,
            where=where,
            related=answer.related,
            columns=document.columns and document.columns.without_tags(),
        )


def _uneven(path: str, what: str) -> DataError:
    return DataError(
        f"{path}: {what}: without ids, answers are joined with texts in their order",
        hint="give the texts and the answers ids, or add what is missing.",
    )


def _document_of(text: str, fields: Mapping[str, Any]) -> Document:
    """Return a document without annotation from an answer that has its text; other fields are kept."""
    used = {*_IDS, *_TEXTS, *ENTITIES, *RELATIONS, *AROUND}
    return Document(text, id=_id_of(fields), meta={name: value for name, value in fields.items() if name not in used})


def _documents(texts: Input) -> Iterator[Document]:
    return texts.documents(replace(texts.reading(quiet=True), annotation=False))


def _id_of(value: Any) -> str | int | None:
    found = next((value[name] for name in _IDS if name in value), None) if isinstance(value, Mapping) else None
    return found if isinstance(found, (str, int)) and not isinstance(found, bool) else None


def _text_of(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return None
    return next((value[name] for name in _TEXTS if isinstance(value.get(name), str)), None)
