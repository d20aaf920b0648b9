"""Latents as people write them: `0-99,512`."""

import re
from typing import TYPE_CHECKING

from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.store import CoderStore

MAX_RANGES = 100_000
_RANGE = re.compile(r"\s*([0-9]{1,18})\s*(?:[-–]\s*([0-9]{1,18})\s*)?")


def parse_latents(text: str, coder: "CoderStore") -> list[int]:
    """The latents of numbers and ranges (both ends included), ascending and each once.

    Raises UserError for anything else, UnknownName for numbers that the coder does not have.
    """
    found: set[int] = set()
    parts = text.split(",")
    if len(parts) > MAX_RANGES:
        raise UserError(f"{len(parts):,} ranges of features; at most {MAX_RANGES:,} are read.")
    for part in parts:
        match = _RANGE.fullmatch(part)
        if not match:
            given = part.strip()
            given = given if len(given) <= 40 else f"{given[:37]}..."
            raise UserError(
                f"{given!r} is no number and no range. Write numbers from 0 and ranges with commas between them, such as "
                "0-99,512."
            )
        first = coder.check_latent(int(match[1]))
        last = first if match[2] is None else coder.check_latent(int(match[2]))
        if last < first:
            raise UserError(f"The range {part.strip()} runs backwards. Write {last}-{first}.")
        found.update(range(first, last + 1))
    return sorted(found)
