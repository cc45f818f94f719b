"""`ie check`: find problems in recipes and their data, or in data alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ie_cli.commands.check_cost import report_cost
from ie_cli.commands.console import print_error, say, warn
from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.errors import DataError, IEError, counted
from ie_cli.system.streams import is_replaceable, open_output, require_writable

if TYPE_CHECKING:
    from ie_cli.commands.inputs import Input
    from ie_cli.data.findings import Finding
    from ie_cli.reports.findings import CheckReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """How the findings are reported.

    Attributes:
        as_json: print them as one JSON object on stdout instead of as lines on stderr.
        save: files for the findings, written as JSON or as a web page by their suffix.
        fail_on: the least serious kind of findings that makes the command fail.
        deep: also train models to find likely errors of annotation, if there are no other errors.
    """

    as_json: bool = False
    save: tuple[str, ...] = ()
    fail_on: Literal["error", "warning"] = "error"
    deep: bool = False

    def validate(self, inputs: Sequence[str]) -> None:
        """Check that the findings can be saved, before anything is checked.

        Args:
            inputs: the recipes and the data.

        Raises:
            DataError: a file to save is also an input, or cannot be written.
        """
        known = [name for name in inputs if os.path.exists(name)]
        for path in self.save:
            if os.path.exists(path) and any(os.path.samefile(name, path) for name in known):
                raise DataError(f"{path}: this file is also an input", hint="use another file for --save.")
            if is_replaceable(path):
                require_writable(path)

    def show(self, finding: Finding, prefix: str = "") -> None:
        """Print a finding as it is found."""
        if not self.as_json:
            text = f"{prefix}{finding.text}"
            (warn if finding.kind == "warning" else say)(f"error: {text}" if finding.kind == "error" else text)

    def progress(self, text: str) -> None:
        """Print what takes time."""
        if not self.as_json:
            say(text)

    def finish(self, report: CheckReport) -> None:
        """Save the findings, and print them as JSON if they are wanted so."""
        for path in self.save:
            with open_output(path) as out:
                out.write(report.html() if path.endswith(".html") else _json(report))
            say(f"result: {path}")
        if self.as_json:
            with open_output("-") as out:
                out.write(_json(report))

    def fails(self, report: CheckReport) -> str | None:
        """Return what makes the command fail, or None."""
        errors = report.count("error")
        warnings = report.count("warning") if self.fail_on == "warning" else 0
        parts = [counted(number, what) for number, what in ((errors, "error"), (warnings, "warning")) if number]
        return " and ".join(parts) or None

    @property
    def hint(self) -> str:
        """Where the findings are."""
        return "see `findings` in the output." if self.as_json else "see the lines above."


def run_check(names: Sequence[str], overrides: Sequence[str], reporting: Reporting, *, time: bool = True) -> None:
    """Check recipes, and print the findings.

    With several recipes, each one is checked, whatever is wrong with another, and each finding names its recipe.

    Args:
        names: the recipes.
        overrides: overrides of their fields.
        reporting: how the findings are reported.
        time: time a few training steps if there is only one recipe and it has no errors.

    Raises:
        DataError: at least one finding is an error, or a warning if these count.
    """
    from ie_cli.reports.findings import CheckReport

    reporting.validate([*names, *(_data_of(names, overrides) if reporting.save else ())])
    report = CheckReport(names)
    if len(names) == 1:
        found = _check(names[0], overrides, reporting)
        report.findings += [(names[0], finding) for finding in found]
        reporting.finish(report)
        if (failure := reporting.fails(report)) is not None:
            raise DataError(f"{failure} in the recipe or data", hint=reporting.hint)
        if time and not reporting.as_json:
            report_cost(names[0], overrides)
        return
    wrong = []
    for name in names:
        part = CheckReport([name], [(name, one) for one in _check_one_of_several(name, overrides, reporting)])
        report.findings += part.findings
        if reporting.fails(part):
            wrong.append(name)
    reporting.finish(report)
    if wrong:
        what = "errors" if reporting.fail_on == "error" else "errors or warnings"
        raise DataError(f"{what} in {len(wrong)} of {len(names)} recipes: {', '.join(wrong)}", hint=reporting.hint)


def run_check_data(files: Sequence[Input], reporting: Reporting) -> None:
    """Check data without a recipe, and print the findings.

    Raises:
        DataError: at least one finding is an error, or a warning if these count; or nothing in the data is annotated.
    """
    from ie_cli.commands.check_data import find_in_data
    from ie_cli.commands.sources import Sources
    from ie_cli.reports.findings import CheckReport

    sources = Sources.find(files, quiet=reporting.as_json)
    reporting.validate(sources.paths)
    report = CheckReport([file.path for file in files])
    for finding in find_in_data(sources, deep=reporting.deep, progress=reporting.progress):
        reporting.show(finding)
        report.findings.append((None, finding))
    _say_if_clean([finding for _, finding in report.findings], reporting)
    reporting.finish(report)
    if (failure := reporting.fails(report)) is not None:
        raise DataError(f"{failure} in the data", hint=reporting.hint)


def _data_of(names: Sequence[str], overrides: Sequence[str]) -> Iterator[str]:
    """Yield the data files of the recipes that can be read; the others are reported later."""
    from ie_cli.data.dataset import splits

    for name in names:
        try:
            sections = read_recipe(name, overrides, quiet=True).instances().values()
        except IEError:
            continue
        yield from (
            source for section in sections for split in splits(section.data) if split for source in split.sources
        )


def _json(report: CheckReport) -> str:
    return json.dumps(report.to_dict(), ensure_ascii=False) + "\n"


def _check(name: str, overrides: Sequence[str], reporting: Reporting, *, prefix: str = "") -> list[Finding]:
    """Print and return the findings of a recipe."""
    from ie_cli.doctor.data_checks import check

    found = []
    recipe = read_recipe(name, overrides)
    for finding in check(recipe):
        reporting.show(finding, prefix)
        found.append(finding)
    if reporting.deep and not any(finding.kind == "error" for finding in found):
        from ie_cli.doctor.cross_folds import find_suspects

        for finding in find_suspects(recipe, report=reporting.progress):
            reporting.show(finding, prefix)
            found.append(finding)
    _say_if_clean(found, reporting, prefix)
    return found


def _say_if_clean(found: Sequence[Finding], reporting: Reporting, prefix: str = "") -> None:
    if not reporting.as_json and all(finding.kind == "note" for finding in found):
        say(f"{prefix}no errors or warnings")


def _check_one_of_several(name: str, overrides: Sequence[str], reporting: Reporting) -> Iterator[Finding]:
    """Yield the findings of a recipe; one that cannot be read is reported like a finding."""
    from ie_cli.data.findings import Finding

    try:
        yield from _check(name, overrides, reporting, prefix=f"{name}: ")
    except IEError as error:
        # The message of a recipe that cannot be read already starts with its file.
        message = error.message if error.message.startswith(name) else f"{name}: {error.message}"
        if not reporting.as_json:
            print_error(IEError(message, hint=error.hint))
        yield Finding("error", message)
        if error.hint:
            yield Finding("note", f"hint: {error.hint}")
