"""Options of explainers and scorers as arguments of a command, drawn from their registries."""

import argparse
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any

from autointerp.registry import Entry, Option, Registry


def add_options(
    group: argparse._ArgumentGroup, registry: Registry[Any], *, unset: Collection[str] = ()
) -> None:
    """One argument for each option of any entry. Of those `unset`, the value is None where none is given."""
    for option in registry.options():
        default = None if option.name in unset else option.default
        words: dict[str, Any] = {"dest": option.name, "default": default, "help": _help(registry, option)}
        if option.kind is bool:
            words["action"] = "store_false" if option.default else "store_true"
        else:
            words |= {"type": _reader(option), "choices": option.choices or None}
            words |= {"nargs": "+"} if option.several else {}
            if option.metavar or not option.choices:
                words["metavar"] = option.metavar or ("TEXT" if option.kind is str else "N")
        group.add_argument(option.option_string, **words)


def option_values(
    args: argparse.Namespace, registry: Registry[Any], entry: Entry, record: type
) -> dict[str, Any]:
    """Arguments of `record`, the options of `entry`, its own ones in `extra`."""
    names = {each.name for each in fields(record)}
    values: dict[str, Any] = {"extra": {}}
    for option in registry.options():
        value = getattr(args, option.name)
        value = tuple(dict.fromkeys(value)) if option.several else value
        if option.name in names:
            values[option.name] = value
        elif entry.option(option.name) is not None:
            values["extra"][option.name] = value
    return values


def entries_help(registry: Registry[Any]) -> str:
    """`pattern: Token and phrase statistics; ...`, an entry after the other."""
    return "; ".join(f"{name} ({entry.help[:1].lower()}{entry.help[1:]})" for name, entry in registry.items())


def _reader(option: Option) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        return option.kind(option.renamed.get(text, text))

    read.__name__ = option.kind.__name__  # argparse names it where a value is refused
    return read


def _help(registry: Registry[Any], option: Option) -> str:
    text = option.cli_help or f"{option.help[:1].lower()}{option.help[1:]}"
    users = registry.users(option)
    if len(users) < len(registry):
        text = f"{text}; {', '.join(users)} only"
    if option.kind is bool or option.default is None or "(default" in text:
        return text
    return f"{text} (default: {' '.join(option.default) if option.several else option.default})"
