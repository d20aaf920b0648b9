"""Values in types that strict JSON knows, and texts without characters that act."""

import math
from dataclasses import asdict, is_dataclass
from typing import Any


def plain(value: Any) -> Any:
    """The same value in types that strict JSON knows; NaN and infinities become `None`, bytes hexadecimal, the rest text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    as_list = getattr(value, "tolist", None)  # numpy arrays and scalars, without importing numpy
    if as_list is not None:
        return plain(as_list())
    return str(value)


def escaped(text: str) -> str:
    """The text with escapes for what cannot be seen: control characters, what reverses the reading direction, line ends."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
