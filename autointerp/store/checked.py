"""Values from JSON files, which anybody may have written, checked against the annotations of the dataclass they are for."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

LARGEST = 2**53
"""Of a whole number: as JSON holds them everywhere."""
_KINDS = {
    str: "a string",
    int: "a whole number from 0",
    float: "a number",
    bool: "true or false",
    dict: "an object",
}


def arguments(cls: type, values: object) -> dict[str, Any]:
    """`values` as arguments of `cls`. Raises ValueError with the field, what came and what is accepted."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{cls.__name__} is {_said(values)}, not an object")
    hints = get_type_hints(cls)
    known = {field.name: field for field in fields(cls)}
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f"{cls.__name__} has a field {_said(unknown[0])} that this program does not know")
    checked: dict[str, Any] = {}
    for name, field in known.items():
        if name in values:
            checked[name] = value(values[name], hints[name], name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{cls.__name__} has no {name}")
    return checked


def value(given: object, hint: Any, name: str) -> Any:
    """`given` if it is of this annotated type: whole numbers from 0, texts that UTF-8 can hold."""
    accepted = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for kind in accepted:
        if is_dataclass(kind) and isinstance(kind, type) and isinstance(given, Mapping):
            return kind(**arguments(kind, given))
        if _fits(given, kind):
            return given
    wanted = " or ".join("null" if kind is NoneType else _named(kind) for kind in accepted)
    raise ValueError(f"{name} is {_said(given)}; accepted: {wanted}")


def entries(given: Mapping[str, object], key: Any, hint: Any, name: str) -> None:
    """Raises ValueError where a key or a value of the object is not of these types."""
    for own, other in given.items():
        value(own, key, f"a key of {name}")
        value(other, hint, f"{name}.{own}")


def _fits(given: object, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return given in get_args(kind)
    if kind is int:
        return type(given) is int and 0 <= given <= LARGEST
    if kind is float:
        return type(given) in (int, float)
    if kind is str:
        return isinstance(given, str) and _is_utf8(given)
    return isinstance(given, get_origin(kind) or kind)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _named(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(map(repr, get_args(kind)))
    return _KINDS.get(get_origin(kind) or kind, getattr(kind, "__name__", str(kind)))


def _said(given: object) -> str:
    text = ascii(given)
    return text if len(text) <= 60 else f"{text[:57]}..."
