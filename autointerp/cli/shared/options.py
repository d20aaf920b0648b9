"""Options of explainers and scorers as arguments of a command, drawn from their registries."""

import argparse
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any

from autointerp.registry import Entry, Option, Registry


def add_options(
    group: argparse._ArgumentGroup, registry: Registry[Any], *, unset: Collection[str] = ()
) -> None:
    """One argument for each option of any entry. Those in `unset` are None when not given, instead of their default."""
    for option in registry.options():
        default = None if option.name in unset else option.default
        settings: dict[str, Any] = {"dest": option.name, "default": default, "help": _help(registry, option)}
        if option.kind is bool:
            settings["action"] = "store_false" if option.default else "store_true"
        else:
            settings |= {"type": _reader(option), "choices": option.choices or None}
            settings |= {"nargs": "+"} if option.several else {}
            if option.metavar or not option.choices:
                settings["metavar"] = option.metavar or ("TEXT" if option.kind is str else "N")
        group.add_argument(option.option_string, **settings)


def option_values(
    args: argparse.Namespace, registry: Registry[Any], entry: Entry, record: type
) -> dict[str, Any]:
    """Arguments of `record`, the options of `entry`; what is no field of it in `extra`."""
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
    """`pattern (token and phrase statistics ...), ...`: every entry with its help."""
    return ", ".join(f"{name} ({_lower(entry.help)})" for name, entry in registry.items())


def _reader(option: Option) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        return option.kind(option.renamed.get(text, text))

    read.__name__ = option.kind.__name__  # argparse names it when it refuses a value
    return read


def _help(registry: Registry[Any], option: Option) -> str:
    text = option.cli_help or _lower(option.help)
    notes = []
    users = registry.users(option)
    if len(users) < len(registry):
        notes.append(f"{', '.join(users)} only")
    if option.kind is not bool and option.default is not None and "(default" not in text:
        notes.append(f"default: {' '.join(option.default) if option.several else option.default}")
    if notes and "(default" in text:  # its own words for the default end it
        return f"{text.removesuffix(')')}; {notes[0]})"
    return f"{text} ({'; '.join(notes)})" if notes else text


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
