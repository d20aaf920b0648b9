"""`autointerp export html`: features as one HTML file that works anywhere, in light and dark, on paper too."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from autointerp import __version__
from autointerp.errors import UserError
from autointerp.formats.html.feature import anchor, check_places, section
from autointerp.formats.html.markup import tag, text
from autointerp.formats.requests import ExportRequest
from autointerp.formats.summary import Summary
from autointerp.settings import DEFAULT_WINDOW
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.store.files import check_folder, file_named
from autointerp.types import Progress, ProgressCallback, no_progress

MOST = 500
"""Features on a page: at 60 kB each, more than a browser opens with pleasure."""
EXAMPLES = 20


def run(request: ExportRequest, progress: ProgressCallback) -> Summary:
    """Writes the page. Raises UserError, and then leaves what was there."""
    n, window = request.options["n_contexts"], request.options["window"]
    if not 0 <= window <= request.store.ctx_len:
        raise UserError(
            f"--window {window}: windows in this store have 1 to {request.store.ctx_len} tokens; 0 is the whole context."
        )
    if request.to.is_dir() or request.to.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{str(request.to)!r}: give the name of a file that ends in .html.")
    check_folder(request.to)
    places = [
        (coder, latent)
        for coder, latents in request.selection.items()
        for latent in (range(request.store.coder(coder).info.n_latents) if latents is None else latents)
    ]
    made = page(
        request.store, request.annotations, places, title=request.options["title"], window=window or None, n=n,
        progress=progress,
    )  # fmt: skip
    with file_named(request.to) as file:
        file.write(made.encode())
    summary = Summary("html", str(request.to))
    summary.take("features", len(places))
    summary.leave("all contexts but those shown", "a page is for reading")
    return summary


def page(
    store: Store,
    annotations: Annotations,
    places: Sequence[tuple[str, int]],
    *,
    title: str | None = None,
    window: int | None = DEFAULT_WINDOW,
    n: int = EXAMPLES,
    progress: ProgressCallback = no_progress,
) -> str:
    """The whole document, of these (coder, latent) in their order. `window` in tokens, `None` for whole contexts; `n` examples
    in each group. Raises UserError for none or more than `MOST`, UnknownName for one that does not exist."""
    check_places(store, places, MOST)
    if title is None:
        title = (
            f"{places[0][0]} / {places[0][1]}"
            if len(places) == 1
            else f"{len(places)} features of {store.path.name}"
        )
    sections = []
    for coder, latent in places:
        sections.append(section(store, annotations, store.coder(coder), latent, window=window, n=n))
        progress(Progress("write", len(sections), len(places), "features"))
    links = [
        tag("a", text(f"{coder} / {latent}"), href=f"#{anchor(coder, latent)}") for coder, latent in places
    ]
    corpus = store.meta["corpus"]
    about = (
        f"Text: {corpus['name']}, {corpus['n_tokens']:,} tokens. Colour: activation relative to the strongest shown, log "
        f"scale; hover over a token for its value. Made by autointerp {__version__}."
    )
    body = [tag("h1", text(title)), tag("p", text(about), cls="dim")]
    body += [tag("nav", *links, cls="dim")] if len(links) > 1 else []
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{_style()}</style></head><body>"
        f"{''.join(body)}{''.join(sections)}</body></html>\n"
    )


@cache
def _style() -> str:
    return (files("autointerp.formats.html") / "page.css").read_text(encoding="utf-8")
