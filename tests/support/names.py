"""Names with aliases and labels whose forms often coincide."""

from __future__ import annotations

from hypothesis import strategies as st

from ie_cli.inference.canonical_names import CanonicalName

FORMS = st.text("ab", min_size=1, max_size=3)
LABELS = st.sampled_from([None, "person", "place"])


@st.composite
def names(draw: st.DrawFn) -> list[CanonicalName]:
    """Draw one to eight names."""
    parts = draw(st.lists(st.tuples(FORMS, st.lists(FORMS, max_size=4), LABELS), min_size=1, max_size=8))
    return [CanonicalName(number, form, tuple(aliases), label) for number, (form, aliases, label) in enumerate(parts)]
