"""The Jobs page's address, read without trust."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from autointerp.store.annotations import JobState
from autointerp.store.annotations.jobs.records import ItemState
from autointerp.ui.shared.state import choice, flag, whole

SHOWS: dict[str, tuple[str, tuple[JobState, ...] | None]] = {
    "all": ("All", None),
    "active": ("Active", ("preparing", "queued", "running")),
    "done": ("Done", ("done",)),
    "failed": ("Failed or cancelled", ("failed", "cancelled")),
}
ITEMS: dict[ItemState, str] = {"failed": "Failed", "done": "Done", "pending": "Not tried"}
MAX_PAGE = 10_000


@dataclass(frozen=True)
class JobsState:
    """`job` is as given: the page checks it against the store. `page` and `items_page` count from 1."""

    job: str | None
    show: str
    page: int
    new: bool
    items: ItemState | None
    items_page: int

    @staticmethod
    def parse(params: Mapping[str, str]) -> "JobsState":
        given = params.get("items")
        return JobsState(
            job=params.get("job"),
            show=choice(params.get("show"), SHOWS, "all"),
            page=_page(params.get("page")),
            new=flag(params.get("new")),
            items=cast(ItemState, given) if given in ITEMS else None,
            items_page=_page(params.get("items_page")),
        )


def _page(value: str | None) -> int:
    return min(MAX_PAGE, max(1, whole(value) or 1))
