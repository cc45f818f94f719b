"""The table of supported formats."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ie_cli.errors import DataError
from ie_cli.formats import (
    bio_json,
    brat,
    cluener,
    cmeee,
    conll,
    conll04,
    conll_writer,
    datasets_directory,
    docbin,
    document,
    duee,
    duie,
    dygie,
    excel,
    html,
    jsonl,
    multihead,
    oneie,
    oneke,
    pairs,
    pairs_json,
    parquet,
    table,
    text,
    triple_lists,
    uie,
    w2ner,
)
from ie_cli.formats.annotation_tools import ANNOTATION_TOOLS
from ie_cli.formats.common.base import REPEATED, Format
from ie_cli.formats.common.json_stream import ARRAY
from ie_cli.formats.common.table_rows import ROW_OPTIONS

FORMATS: dict[str, Format] = {
    "jsonl": Format(
        "jsonl",
        "native JSON Lines: text, and entities with start, end and label",
        jsonl.read,
        jsonl.write,
        jsonl.count_losses,
        by_line=True,
        suffixes=(".jsonl", ".ndjson", ".json"),
        arrays=True,
        repeats=tuple(REPEATED),
    ),
    "cluener": Format(
        "cluener",
        "CLUENER: text and label: {label: {mention: [[start, end]]}}",
        cluener.read,
        cluener.write,
        cluener.count_losses,
        by_line=True,
        arrays=True,
        repeats=("entities",),
    ),
    "conll": Format(
        "conll",
        "token and tag columns, with an empty line between sentences",
        conll.read,
        conll_writer.write,
        conll_writer.count_losses,
        suffixes=(".conll", ".bio", ".iob", ".tsv"),
        options=("text_column", "label_columns", "joiner"),
    ),
    "duie": Format(
        "duie",
        "DuIE 1 and 2, and CMeIE: text and spo_list; written in the layout of DuIE 2",
        duie.read,
        duie.write,
        duie.count_losses,
        by_line=True,
        arrays=True,
        options=("mentions",),
    ),
    "duie1": Format(
        "duie1",
        "DuIE, written in the layout of DuIE 1, without slots",
        duie.read,
        duie.write_first,
        duie.count_losses_first,
        by_line=True,
        arrays=True,
        options=("mentions",),
    ),
    "triples": Format(
        "triples",
        "CasRel, PRGC, TPLinker, SPN4RE: text, triple_list or relation_list; objects in an array or one per line",
        triple_lists.read,
        triple_lists.write,
        triple_lists.count_losses,
        ARRAY,
        options=("mentions",),
        repeats=("relations",),
    ),
    "conll04": Format(
        "conll04",
        "CoNLL04 in JSON: tokens, entities or tags, relations by index; written in the layout of SpERT",
        conll04.read,
        conll04.write,
        conll04.count_losses,
        ARRAY,
        options=("joiner",),
        repeats=("relations",),
    ),
    "conll04-table": Format(
        "conll04-table",
        "CoNLL04 in JSON, written with BILOU tags",
        conll04.read,
        conll04.write_table,
        conll04.count_losses_table,
        ARRAY,
        options=("joiner",),
        repeats=("relations",),
    ),
    "bio-json": Format(
        "bio-json",
        "tags in JSON: tokens and ner_tags, or other names of these fields; tags by name or by number",
        bio_json.read,
        bio_json.write,
        bio_json.count_losses,
        by_line=True,
        arrays=True,
        options=("joiner",),
    ),
    "w2ner": Format(
        "w2ner",
        "W2NER: sentence, a list of tokens, and ner with the token indices of entities",
        w2ner.read,
        w2ner.write,
        w2ner.count_losses,
        ARRAY,
        options=("joiner",),
    ),
    "dygie": Format(
        "dygie",
        "DyGIE++ and SciERC: documents with sentences of tokens, ner, relations and events by token indices",
        dygie.read,
        dygie.write,
        dygie.count_losses,
        by_line=True,
        arrays=True,
        options=("joiner",),
        repeats=("relations", "events"),
    ),
    "oneie": Format(
        "oneie",
        "OneIE, CNN-NER and ACE: tokens with entity_mentions, relation_mentions and event_mentions",
        oneie.read,
        oneie.write,
        oneie.count_losses,
        by_line=True,
        arrays=True,
        options=("joiner",),
        repeats=("relations", "events"),
    ),
    "duee": Format(
        "duee",
        "DuEE: text and event_list; events are also read as entities and relations",
        duee.read,
        duee.write,
        duee.count_losses,
        by_line=True,
        arrays=True,
    ),
    "uie": Format(
        "uie",
        "UIE: content, prompt and result_list; consecutive prompts of a text are one document",
        uie.read,
        uie.write,
        uie.count_losses,
        by_line=True,
        arrays=True,
        writer=uie.separating_writer,
    ),
    "oneke": Format(
        "oneke",
        "OneKE, IEPile and InstructIE: text with entity and relation by texts, or instructions with answers in JSON",
        oneke.read,
        oneke.write,
        oneke.count_losses,
        by_line=True,
        arrays=True,
        options=("mentions",),
    ),
    "cmeee": Format(
        "cmeee",
        "CMeEE: text, and entities with start_idx, end_idx and type; read as jsonl, written with inclusive ends",
        jsonl.read,
        cmeee.write,
        cmeee.count_losses,
        ARRAY,
        by_line=True,
        arrays=True,
        repeats=("entities",),
    ),
    "multihead": Format(
        "multihead",
        "multi-head selection columns: index, token, BIO tag, predicates, heads",
        multihead.read,
        multihead.write,
        multihead.count_losses,
        options=("joiner",),
        repeats=("relations",),
    ),
    **ANNOTATION_TOOLS,
    "pairs": Format(
        "pairs",
        "pairs of texts in columns: text, text and label, by tabs or as CSV; written with tabs and a header",
        pairs.read,
        pairs.write,
        pairs.count_losses,
        pairs.FRAME,
        options=("text_column", "label_columns", "grades"),
    ),
    "pairs-json": Format(
        "pairs-json",
        "pairs of texts in JSON: sentence1, sentence2 and label, or other names of these fields",
        pairs_json.read,
        by_line=True,
        arrays=True,
        options=("grades",),
    ),
    "text": Format("text", "plain text, one document per line", text.read, by_line=True, suffixes=(".txt", ".text")),
    "document": Format(
        "document", "plain text, the whole file as one document; never detected", document.read, keep_ends=True
    ),
    "csv": table.CSV,
    "tsv": table.TSV,
    "parquet": parquet.FORMAT,
    "excel": excel.FORMAT,
    "datasets": datasets_directory.FORMAT,
    "brat": brat.FORMAT,
    "spacy": docbin.FORMAT,
    "html": Format(
        "html",
        "an HTML page with the entities highlighted; output only",
        html.read,
        html.write,
        html.count_losses,
        html.FRAME,
        suffixes=(".html", ".htm"),
        writer=html.page_writer,
    ),
}

READING_OPTIONS = {
    option: tuple(name for name, one in FORMATS.items() if option in one.options)
    for option in ("text_column", "label_columns", "joiner", "columns", "grades", "mentions")
}
"""The options of reading that apply to some formats only, by their names in `Reading`, with these formats."""
REQUIRED_TO_APPLY = tuple(option for option in READING_OPTIONS if option != "mentions")
"""The options that are an error in the recipe of a model; those of earlier models may have `mentions` for any format."""


_ROWS = " with a {} per row"


def kind_of_table(name: str, row: str | None) -> str:
    """Return the name of the format of a table, with what a row is, if that is known."""
    return name if row is None else name + _ROWS.format(row)


def is_settled(kind: str | None, options: Collection[str]) -> bool:
    """Return whether it is known to which of some options a format applies: not if that depends on what a row of a table is.

    Args:
        kind: the name of the format, of a table as `kind_of_table` gives it; None if it is not known.
        options: the names of the options in `Reading`.
    """
    if kind is None or kind not in FORMATS or FORMATS[kind].rows is None:
        return kind is not None
    applying = [set(options) & set(FORMATS[kind].options) & set(some) for some in ROW_OPTIONS.values()]
    return all(some == applying[0] for some in applying)


def unused_options(
    options: Iterable[str], formats: Collection[str], required: Collection[str] = REQUIRED_TO_APPLY
) -> list[str]:
    """Return the options of reading that apply to none of the formats that data have, in the order of the table.

    Args:
        options: the options that are given.
        formats: the names of the formats, of tables as `kind_of_table` gives them.
        required: the options that must apply.
    """
    given = set(options) & set(required)
    return [name for name in READING_OPTIONS if name in given and not any(_applies(name, one) for one in formats)]


def _applies(option: str, kind: str) -> bool:
    name, _, rows = kind.partition(_ROWS.partition("{")[0])
    applying = ROW_OPTIONS.get(rows.removesuffix(" per row"))
    return name in READING_OPTIONS[option] and (applying is None or option in applying)


class UnusedOption(DataError):
    """An option of reading applies to none of the formats that the data have."""


def unused_option(option: str, shown: str, place: str, formats: Collection[str], *, named: str) -> UnusedOption:
    """Return the error for an option of reading that does not apply.

    Args:
        option: the name of the option in `Reading`.
        shown: its name for the user.
        place: the data.
        formats: the names of the formats that the data have.
        named: what names the format of data for the user.
    """
    kind, plural = ", ".join(sorted(set(formats))), "s" if len(set(formats)) > 1 else ""
    return UnusedOption(
        f"{place}: {shown} applies only to the formats {', '.join(READING_OPTIONS[option])}, but the format{plural} of the "
        f"data {'are' if plural else 'is'} {kind}",
        hint=f"omit {shown}, or name the format with {named} if it was not detected correctly.",
    )
