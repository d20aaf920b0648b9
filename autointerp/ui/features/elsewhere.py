"""What can be done with a whole list: collected, explained and scored as a batch, or written to a file."""

import re
from collections.abc import Mapping, Sequence

import streamlit as st

from autointerp.formats.html import write as html
from autointerp.store import LatentPage, LatentQuery, Store, list_table
from autointerp.store.annotations import Annotations
from autointerp.store.collection_files import collections_table
from autointerp.store.table_files import FileFormat, to_file
from autointerp.ui.features import collection
from autointerp.ui.shared import components, job_strip, list_walk, roles
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import current

_MIME: dict[FileFormat, str] = {
    "csv": "text/csv",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
_LABELS: dict[FileFormat, str] = {"csv": "CSV", "jsonl": "JSON Lines", "parquet": "Parquet"}
MAX_NAME = 150


def draw(
    store: Store, coders: Sequence[str], query: LatentQuery, page: LatentPage, annotations: Annotations | None
) -> None:
    """The buttons beside the list's count."""
    params = {name: value for name, value in current().items() if name != "page"}
    if annotations is not None and job_strip.writable(store):
        label = (
            "Explain or score it" if page.total == 1 else f"Explain or score these {fmt.count(page.total)}"
        )
        if st.button(
            label, key="batch_of_list", type="tertiary", icon=":material/playlist_play:",
            help="A batch over exactly these features. Its cost is shown before it starts",
        ):  # fmt: skip
            place = list_walk.hold(store, coders, query, page)
            components.go("jobs", {"new": "1", list_walk.LIST: place})
        if st.button(
            "Audit", key="audit_of_list", type="tertiary", icon=":material/fact_check:",
            help="Judge the explanations of these features by hand: a new audit, drawn from this list",
        ):  # fmt: skip
            components.go("audit", {"new": "1", list_walk.LIST: list_walk.hold(store, coders, query, page)})
        collection.fill(store, coders, query, page, annotations, params.get("collection"))
    with st.popover("Export", icon=":material/download:"):
        st.caption(f"All {fmt.plural(page.total, 'feature')} of this list, in its order, at full precision:")
        for file_format, mime in _MIME.items():

            def data(file_format: FileFormat = file_format) -> bytes:
                about = {"address": params}
                with roles.turn():
                    table = list_table(store, coders, query, annotations=annotations, about=about)
                    return to_file(table, file_format)

            st.download_button(
                _LABELS[file_format], data, file_name(store, coders, params, file_format), mime,
                key=f"export_{file_format}", on_click="ignore", width="stretch",
            )  # fmt: skip
        if annotations is not None and 0 < page.total <= html.MOST:

            def static() -> bytes:
                with roles.turn():
                    return html.page(store, annotations, _places(store, coders, query, annotations)).encode()

            st.download_button(
                "HTML", static, file_name(store, coders, params, "html"), "text/html", key="export_html", on_click="ignore",
                width="stretch", help="One HTML file that works offline: explanations, scores, figures and contexts",
            )  # fmt: skip
        listed = params.get("collection")
        if annotations is not None and listed:
            st.caption("The whole collection with its notes, for `autointerp collections STORE import`:")

            def whole() -> bytes:
                return to_file(collections_table(store, annotations, [listed]), "jsonl")

            st.download_button(
                "Collection", whole, file_name(store, ["collection"], {"name": listed}, "jsonl"), _MIME["jsonl"],
                key="export_collection", on_click="ignore", width="stretch",
            )  # fmt: skip


def _places(
    store: Store, coders: Sequence[str], query: LatentQuery, annotations: Annotations
) -> list[tuple[str, int]]:
    """The features of the list, in its order."""
    table = list_table(store, coders, query, annotations=annotations)
    return list(zip(table["coder"].to_pylist(), table["latent"].to_pylist(), strict=True))


def file_name(store: Store, coders: Sequence[str], params: Mapping[str, str], ending: str) -> str:
    """The store, the coders and what narrows and sorts the list: `demo_sae_min_density=0.5_sort=low.csv`."""
    parts = [store.path.name, coders[0] if len(coders) == 1 else f"{len(coders)} coders"]
    parts += [f"{name}={value}" for name, value in sorted(params.items()) if name != "coder"]
    name = re.sub(r"[^\w.=+@~-]+", "-", "_".join(parts))
    return f"{name[:MAX_NAME]}.{ending}"
