"""What `import` and `export` have in common: options of the chosen format, and what was done."""

import argparse
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.output import printable
from autointerp.errors import UserError
from autointerp.registry import Entry, Registry

if TYPE_CHECKING:
    from autointerp.formats.summary import LeftOut, Summary


def given_options(args: argparse.Namespace, registry: Registry[Any], entry: Entry) -> dict[str, Any]:
    """A value for every option of `entry`. Raises UserError for an option of other formats, or a value that is not accepted."""
    values: dict[str, Any] = {}
    for option in registry.options():
        given = getattr(args, option.name)
        own = entry.option(option.name)
        if own is None:
            if given is not None:
                users = ", ".join(registry.users(option))
                raise UserError(f"{option.option_string} is for {users}, not for {entry.name}. Leave it out.")
            continue
        values[own.name] = own.default if given is None else tuple(given) if own.several else given
        if given is not None:
            own.check(values[own.name])
    return values


def summary_text(summary: "Summary", verb: str) -> str:
    """`Imported into STORE: 3 coders, 1,000 activations.` and what was left out."""
    counts = ", ".join(_counted(n, what) for what, n in summary.taken.items()) or "nothing"
    known = ", ".join(_counted(n, what) for what, n in summary.known.items())
    lines = [f"{verb} {printable(summary.path)} ({summary.format}): {counts}."]
    if known:
        lines.append(f"Already there: {known}.")
    if summary.left_out:
        lines += ["Left out:", *(f"  {_left_out(left)}" for left in summary.left_out)]
    return "\n".join([*lines, *map(printable, summary.notes)])


def _left_out(left: "LeftOut") -> str:
    what = left.what if left.n is None else _counted(left.n, left.what)
    return f"{printable(what)}: {printable(left.reason)}"


def _counted(n: int, what: str) -> str:
    """`what` is in the plural."""
    return f"{n:,} {what.removesuffix('s') if n == 1 else what}"
