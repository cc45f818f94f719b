"""Shell completion of recipe and format names, with their descriptions; file names are completed by the shell."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

Choices = list[tuple[str, str]]
PROGRAM = "ie"
_ASKED = "_IE_COMPLETE"
"""The environment variable with which a shell requests completions or its completion script."""
_TAG = re.compile(r"\[(?=[a-z#/@])")
"""What Typer would take for a tag of Rich's markup in a help text, and remove."""
_SWITCHES = frozenset({"--install-completion", "--show-completion"})


def prepare_completion() -> str | None:
    """Prepare the reply to a shell, and return the program name to use in it; None if no shell asked.

    The name is `ie` even for `python -m ie_cli`, because no shell completes a program name of several words.
    """
    if _ASKED in os.environ:
        os.environ["COLUMNS"] = "10000"  # Typer wraps help texts, and fish would offer each line as a word
        return PROGRAM
    return PROGRAM if _SWITCHES & set(sys.argv[1:]) else None


def complete_recipe(incomplete: str) -> Choices:
    """Return the names of the bundled recipes.

    File names are left to the shell, which quotes them correctly: some shells evaluate the words that they are offered.
    """
    from ie_cli.recipe.bundled import list_recipes

    return _begin({recipe.name: recipe.description for recipe in list_recipes()}, incomplete)


def complete_input_format(incomplete: str) -> Choices:
    """Return the formats that can be read."""
    from ie_cli.formats import FORMATS, html

    return _begin({name: form.help for name, form in FORMATS.items() if form.read is not html.read}, incomplete)


def complete_output_format(incomplete: str) -> Choices:
    """Return the formats that can be written."""
    from ie_cli.formats import FORMATS

    return _begin({name: form.help for name, form in FORMATS.items() if form.writable}, incomplete)


def _begin(choices: Mapping[str, str], incomplete: str) -> Choices:
    return [(name, _TAG.sub(r"\\[", text)) for name, text in choices.items() if name.startswith(incomplete)]
