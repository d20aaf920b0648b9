"""How alike two features are, in figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autointerp.compare import beside, counterparts
from autointerp.compare.directions import PARTS
from autointerp.pipeline.resources import Resources
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import visible


@dataclass(frozen=True)
class Alike:
    """`together`: over all tokens. `cosine` by "decoder" and "encoder" where it is known; `at_most`: where the cosine of the
    nearest feature bounds it; `absent`: why there is none. `uncomputed`: whether the two coders were never matched by
    direction."""

    coders: tuple[str, str]
    together: beside.Together
    cosine: Mapping[str, float]
    at_most: Mapping[str, float]
    absent: Mapping[str, str]
    uncomputed: bool


def read(resources: Resources, first: beside.Latent, second: beside.Latent) -> Alike:
    """Of two features, also of one coder. Raises UserError."""
    together = beside.together(resources, first, second)
    if first[0] == second[0]:
        return _of_one_coder(resources, first, second, together)
    pair = counterparts.known(resources, first[0], second[0])
    cosine = pair.cosines(first[1], second[1])
    at_most: dict[str, float] = {}
    absent: dict[str, str] = {}
    if pair.directions is not None:
        at = pair.directions.coders.index(first[0])
        absent = dict(pair.directions.absent)
        for name, part in pair.directions.parts.items():
            near = (part.sides[at].nearest_cosine[first[1]], part.sides[1 - at].nearest_cosine[second[1]])
            at_most[name] = float(min(near))
    return Alike((first[0], second[0]), together, cosine, at_most, absent, pair.directions is None)


def _of_one_coder(
    resources: Resources, first: beside.Latent, second: beside.Latent, together: beside.Together
) -> Alike:
    coder = resources.store.coder(first[0])
    cosine: dict[str, float] = {}
    at_most: dict[str, float] = {}
    for part in PARTS:
        for here, there in ((first[1], second[1]), (second[1], first[1])):
            near = coder.neighbours(here, part)
            for each in near:
                if each.latent == there:
                    cosine[part] = each.value
            if near:
                at_most[part] = min(near[-1].value, at_most.get(part, 1.0))
    absent = {part: text for part, text in coder.info.absent.items() if part in PARTS}
    return Alike((first[0], second[0]), together, cosine, at_most, absent, False)


def facts(alike: Alike, first: str, second: str) -> list[list[Any]]:
    """Named values with what they mean, for the element."""
    of, n = alike.together.of, alike.together.n
    counted = f"over {fmt.count(alike.together.n_tokens)} tokens"
    rows: list[list[Any]] = [
        ["Correlation", fmt.decimal(of.correlation, 3), f"Pearson correlation of the activations {counted}, zeros included"],
        ["Jaccard index", fmt.decimal(of.jaccard, 3), f"Tokens on which both fire among those on which either does, {counted}"],
        ["Both fire on", fmt.plural(of.n_both, "token"), f"{first}: {fmt.count(n[0])} tokens; {second}: {fmt.count(n[1])}"],
        [f"Of {first}", fmt.share(of.covers), f"The share of the tokens of {first} on which {second} fires too"],
        [f"Of {second}", fmt.share(of.inside), f"The share of the tokens of {second} on which {first} fires too"],
    ]  # fmt: skip
    for part in reversed(PARTS):
        help_ = f"Cosine similarity of the {part} directions"
        if part in alike.cosine:
            value = fmt.decimal(alike.cosine[part], 3)
        elif part in alike.absent:
            value, help_ = fmt.NONE, alike.absent[part]
        elif part in alike.at_most:
            value = f"≤ {fmt.decimal(alike.at_most[part], 2)}"
            help_ += ": an upper bound, as these two are not among each other's nearest"
        else:
            value, help_ = fmt.NONE, f"{help_}: not computed yet"
        rows.append([f"{part.capitalize()} cosine", value, help_])
    return [[visible(name), value, visible(help_)] for name, value, help_ in rows]
