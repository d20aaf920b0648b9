"""What there is to choose from: entries in registries, and the options that each of them takes.

The command line's help, the app's forms and the tables of the documentation are drawn from these records. Nothing heavy may be
imported here or where entries are defined: what does the work is named as "module:function" and imported when it is built.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, Literal, TypeVar

from autointerp.errors import UnknownName, UserError
from autointerp.settings import DEFAULT_WINDOW

Need = Literal[
    "llm", "judge", "text_model", "embedder", "negatives", "hard_negatives", "logits", "effect", "firings"
]
"""What an entry cannot do without: a language model; a judge; the store's own model; an embedder; non-activating examples,
and among them ones where similar latents fire; the tokens that the latent's decoder direction promotes; what the model writes
with the latent raised, or where the latent fires in new texts, for both of which model and coder are loaded."""


MAX_EXAMPLES = 10_000
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Option:
    """One thing to choose.

    `name`: a field of the options record, else a key of its `extra`. `kind`: type of the value, or of each one with `several`
    (a tuple). `choices`: accepted values with their labels (none: any in bounds). `renamed`: earlier names
    of choices, still understood on the command line. `optional`: None is accepted. `flag`: on the
    command line, `--name` unless given; of an option that is on by default, the flag turns it off. `cli_help`: where the
    command line needs other words. `in_app`: whether the app's forms show it. `when`: other options' values without which it
    changes nothing.
    """

    name: str
    label: str
    help: str
    default: Any
    kind: type = str
    choices: Mapping[Any, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    several: bool = False
    minimum: float | None = None
    maximum: float | None = None
    optional: bool = False
    flag: str = ""
    metavar: str = ""
    cli_help: str = ""
    in_app: bool = True
    when: Mapping[str, Any] = field(default_factory=dict)

    @property
    def option_string(self) -> str:
        return self.flag or f"--{self.name.replace('_', '-')}"

    def matters(self, values: Mapping[str, Any]) -> bool:
        """Whether it changes anything beside these values of other options; one that is not among them does not hinder it."""
        return all(values.get(name, value) == value for name, value in self.when.items())

    def check(self, value: Any) -> None:
        """Raises UserError for a value that is not accepted."""
        values: tuple[Any, ...] = tuple(value) if self.several else (value,)
        if self.optional and values == (None,):
            return
        if not values:
            raise UserError(f"{self.label.lower()}: choose at least one of {', '.join(self.choices)}.")
        for single in values:
            if self.choices and single not in self.choices:
                raise UnknownName(self.label.lower(), single, list(map(str, self.choices)))
            low, high = self.minimum, self.maximum
            if low is not None and high is not None and not low <= single <= high:
                raise UserError(f"{self.name} is {single}; accepted: {low:,} to {high:,}.")


def count(name: str, label: str, help: str, *, default: int) -> Option:
    """How many of something."""
    return Option(
        name=name, label=label, help=help, default=default, kind=int, minimum=1, maximum=MAX_EXAMPLES
    )


WINDOW = Option(
    name="window",
    label="Tokens each",
    help="Length of an example in tokens",
    default=DEFAULT_WINDOW,
    kind=int,
    minimum=1,
    maximum=MAX_EXAMPLES,
    metavar="TOKENS",
)
CENTRE = Option(
    name="centre",
    label="Centre examples",
    help="Place the strongest token of an activating example three quarters into the window, where the context allows",
    default=False,
    kind=bool,
)
SEED = Option(
    name="seed",
    label="Seed",
    help="A different seed draws different examples",
    default=0,
    kind=int,
    minimum=0,
    maximum=MAX_SEED,
)

KL = Option(
    name="kl",
    label="Target KL",
    help="How far raising the latent shifts the model's next-token distribution, in nats, averaged over the prompts",
    default=1.0,
    kind=float,
    minimum=0.01,
    maximum=10.0,
    metavar="NATS",
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """`name` in data and on the command line, `label` in the app. `build`: "module:function" that makes the object. `version`:
    that of the prompt or method for given options, part of what identifies a result."""

    name: str
    label: str
    help: str
    needs: frozenset[Need] = frozenset()
    options: tuple[Option, ...] = ()
    build: str
    version: Callable[[Any], str | None] = lambda options: None

    def make(self, *args: Any) -> Any:
        """What `build` returns. Raises UserError."""
        module, function = self.build.split(":")
        return getattr(import_module(module), function)(*args)

    def option(self, name: str) -> Option | None:
        return next((option for option in self.options if option.name == name), None)


E = TypeVar("E", bound=Entry)


class Registry(dict[str, E]):
    """Entries by name, in the order in which they are shown."""

    def __init__(self, what: str, *entries: E):
        super().__init__((entry.name, entry) for entry in entries)
        self.what = what

    def find(self, name: str) -> E:
        """Raises UnknownName."""
        if name not in self:
            raise UnknownName(self.what, name, list(self))
        return self[name]

    def label(self, name: str) -> str:
        """Also of one that is no longer there, or not yet: old stores and newer programs hold any name."""
        return self[name].label if name in self else name

    def place(self, name: str) -> int:
        """Where it is shown among the others; unknown ones last."""
        return list(self).index(name) if name in self else len(self)

    def options(self) -> list[Option]:
        """Every option of any entry, once, in order of first appearance."""
        return list({option.name: option for entry in self.values() for option in entry.options}.values())

    def users(self, option: Option) -> list[str]:
        """Names of the entries that take it."""
        return [name for name, entry in self.items() if entry.option(option.name) is not None]


class Chosen(ABC):
    """What the records of options share: `extra` holds the options that a single entry knows, flat in JSON."""

    extra: Mapping[str, Any]

    @property
    @abstractmethod
    def entry(self) -> Entry:
        """What was chosen."""

    def value(self, name: str) -> Any:
        """Of any option of the entry: a field, else an extra one or its default. Raises UnknownName."""
        if hasattr(self, name):
            return getattr(self, name)
        option = self.entry.option(name)
        if option is None:
            raise UnknownName(
                f"option of {self.entry.name}", name, [each.name for each in self.entry.options]
            )
        return self.extra.get(name, option.default)

    def uses(self, option: Option) -> bool:
        """Whether the entry takes it and, with what else is chosen, it changes anything."""
        return self.entry.option(option.name) is not None and self._matters(option)

    def extra_identity(self) -> dict[str, Any]:
        """Extra options where they differ from their defaults, so that a new option leaves earlier results identified as they
        are."""
        return {
            name: value
            for name, value in self.extra.items()
            if (option := self.entry.option(name)) is not None and value != option.default
        }

    def check_options(self, registry: Registry[Any]) -> None:
        """Raises UserError for a value that is not accepted, or an extra option that the entry does not know."""
        for name in self.extra:
            self.value(name)
        own = {option.name for option in self.entry.options}
        for option in registry.options():
            if (option.name in own or hasattr(self, option.name)) and self._matters(option):
                option.check(self.value(option.name))

    def _matters(self, option: Option) -> bool:
        return option.matters({name: self.value(name) for name in option.when})

    @classmethod
    def sorted_out(cls, data: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
        """Arguments of the record from its flat JSON. Raises UnknownName."""
        names = {each.name for each in fields(cls)} - {"extra"}  # pyright: ignore[reportArgumentType]
        own = {option.name for option in entry.options}
        for name in data:
            if name not in names and name not in own:
                raise UnknownName("option", name, sorted(names | own))
        known = {name: value for name, value in data.items() if name in names}
        return {**known, "extra": {name: value for name, value in data.items() if name not in names}}
