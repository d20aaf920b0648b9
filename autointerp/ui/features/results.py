"""What a search hands to the list of features, and the table of contexts that it found."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from autointerp.store import Spots
from autointerp.ui.shared import components
from autointerp.ui.shared.state import change

if TYPE_CHECKING:
    import pyarrow

BY_FIRING = "Best match: mean activation there (as a share of the maximum), minus that at random places"


@dataclass(frozen=True)
class SearchResults:
    """What the list of features is narrowed to: where they fire, or which they are; and what "best match" means then.
    `what` says it in the list's caption; `measure` names the relevance where its value says something by itself."""

    spots: Spots | None = None
    matches: "dict[str, pyarrow.Table] | None" = None
    order: str = BY_FIRING
    what: str = "fire in these contexts"
    measure: str | None = None


def hit_table(columns: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Contexts to click on; a click narrows the list to that one."""
    clicked = components.table({"columns": columns, "rows": rows, "page": "features"}, key="search_hits")
    if clicked:
        change(context=int(clicked["context"]), page=None, sort=None, order=None)
        st.rerun(scope="fragment")
