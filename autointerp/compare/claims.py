"""What a comparison says of the papers' claims, in sentences: from the figures of `price` alone, whichever way they fall."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from autointerp.compare.price import Comparison, Measure, Price, Side
from autointerp.compare.ranks import MIN_LATENTS
from autointerp.score.registry import SCORERS
from autointerp.store import ScoreKind

Verdict = Literal[
    "holds", "reversed", "not told apart", "mixed", "holds for some", "reversed for some", "differ"
]
"""Of several pairs of coders: "holds for some" and "reversed for some" where no other is told apart, "mixed" where both occur.
"differ": where the papers see no difference."""
ORDER = (("transcoder", "skip_transcoder"), ("sae",), ("neurons",), ("random",))
"""Kinds of coders, the most interpretable first, as the papers have them."""
PLURALS = {"transcoder": "transcoders", "sae": "SAEs", "neurons": "neurons", "random": "random controls"}
ERRORS: dict[Measure, str] = {"ce_increase": "cross-entropy", "fvu": "FVU"}


@dataclass(frozen=True)
class Claim:
    """`expected`: what the papers say. `verdict`: whether it holds here; `text`: the same with figures. `cost`: which of two
    kinds of coders costs more cross-entropy; empty where that was not compared."""

    measure: Measure
    hookpoint: str
    expected: str
    verdict: Verdict
    text: str
    cost: str = ""


def claims(price: Price) -> list[Claim]:
    """Of each hookpoint those that its coders can be held against."""
    made = []
    hookpoints = list(dict.fromkeys(side.hookpoint for side in price.sides))
    for hookpoint in hookpoints:
        sides = [side for side in price.sides if side.hookpoint == hookpoint]
        groups = [[side for side in sides if side.kind in kinds and side.score] for kinds in ORDER]
        for above, below in pairwise(group for group in groups if group):
            made += _above(price, above, below)
        plain, skip = ([side for side in sides if side.kind == kind] for kind in ORDER[0])
        made += _equal(price, skip, plain)
        for measure in ERRORS:
            made += _less_error(price, measure, skip, plain)
    return made


def headline(price: Price) -> str:
    """The answer in one or two sentences."""
    if price.kind is None:
        return "These coders are not scored yet, so nothing can be said about how interpretable they are."
    ordered = [claim for claim in claims(price) if claim.measure == "score" and claim.expected != _EQUAL]
    by = scoring(price.kind)
    if not price.by("score"):
        return f"There are too few scores for a test: {by}."
    if not ordered:
        return _best(price, by)
    hookpoints = list(dict.fromkeys(claim.hookpoint for claim in ordered))
    where = f"at {_list(hookpoints)} in {by} (n {price.n:,} each)"
    orders = []
    for hookpoint in hookpoints:
        expected = (claim.expected.split(" > ") for claim in ordered if claim.hookpoint == hookpoint)
        orders.append(" > ".join(dict.fromkeys(part for parts in expected for part in parts)))
    failing = [claim for claim in ordered if claim.verdict != "holds"]
    text = f"The papers' order, {_list(list(dict.fromkeys(orders)))}, {_verb([claim.verdict for claim in ordered])} {where}."
    at: Callable[[Claim], str] = lambda claim: f" at {claim.hookpoint}" if len(hookpoints) > 1 else ""  # noqa: E731
    if failing:
        said = "; ".join(f"{claim.expected}{at(claim)}: {_WORDS[claim.verdict]}" for claim in failing)
        text += f" {_sentence(said)}."
    if costs := "; ".join(f"{claim.cost}{at(claim)}" for claim in ordered if claim.cost):
        text += f" Cost in cross-entropy: {costs}."
    return text


def _verb(verdicts: Sequence[Verdict]) -> str:
    """That nothing is told apart is no evidence against the order."""
    if all(verdict == "holds" for verdict in verdicts):
        return "holds"
    if any(verdict in ("holds", "holds for some", "mixed") for verdict in verdicts):
        return "holds in part"
    return "is not shown" if all(verdict == "not told apart" for verdict in verdicts) else "does not hold"


def left_out(price: Price) -> str | None:
    """Which coders are in no test of scores, and with how few; `None` where all are."""
    if price.kind is None or not price.too_few:
        return None
    few = (price.side(coder) for coder in price.too_few)
    names = [f"{side.coder} ({f'{side.n_scored:,}' if side.n_live else 'all dead'})" for side in few]
    return f"Left out of the tests, with fewer than {MIN_LATENTS} such scores: {', '.join(names)}."


_EQUAL = "skip transcoder = transcoder"
_WORDS: dict[Verdict, str] = {
    "holds": "holds",
    "reversed": "the other way round",
    "not told apart": "cannot be told apart",
    "mixed": "depends on the coder",
    "holds for some": "for some coders only, others cannot be told apart",
    "reversed for some": "the other way round for some coders, others cannot be told apart",
    "differ": "they differ",
}


def scoring(kind: ScoreKind) -> str:
    """`detection by the offline judge`: who asked and who answered."""
    judge = {"offline": "the offline judge", "llm": kind.model or "LLM", "embedder": kind.model or "embedder"}
    return f"{SCORERS.label(kind.scorer).lower()} by {judge.get(kind.judge, kind.judge)}"


def _best(price: Price, by: str) -> str:
    """Where no two coders are of kinds that the papers order."""
    ranked = sorted((side for side in price.sides if side.score), key=lambda side: -_value(side))
    first, *rest = ranked
    signs = {side.coder: _direction(*_pair(price, "score", first, side)) for side in rest}
    equal = [coder for coder, sign in signs.items() if sign == 0]
    above = [coder for coder, sign in signs.items() if sign < 0]
    text = f"In {by}, {first.coder} scores highest, {_number(_value(first))} (n {price.n:,} each)"
    if not equal and not above:
        return f"{text}, above all others."
    parts = [f"{_list(equal)} cannot be told apart from it"] if equal else []
    parts += [f"{_list(above)} above it in most pairs of scores"] if above else []
    return f"{text}; {'; '.join(parts)}."


def _above(price: Price, above: Sequence[Side], below: Sequence[Side]) -> list[Claim]:
    pairs = [_pair(price, "score", first, second) for first in above for second in below]
    names = [
        PLURALS["transcoder" if "transcoder" in group[0].kind else group[0].kind] for group in (above, below)
    ]
    verdict = _verdict(pairs)
    said = {
        "holds": f"{names[0]} score above {names[1]}",
        "reversed": f"{names[0]} score below {names[1]}",
        "not told apart": f"{names[0]} and {names[1]} cannot be told apart",
        "mixed": f"{names[0]} score above or below {names[1]}, depending on the coder",
        "holds for some": f"some {names[0]} score above {names[1]}, others cannot be told apart",
        "reversed for some": f"some {names[0]} score below {names[1]}, others cannot be told apart",
    }
    text = f"{said[verdict]} (n {price.n:,} each): {'; '.join(_superiority(pair, sign) for pair, sign in pairs)}."
    expected = " > ".join(names)
    cost, figures = _cost(price, above, below, names)
    return [Claim("score", above[0].hookpoint, expected, verdict, _sentence(text) + figures, cost)]


def _cost(
    price: Price, above: Sequence[Side], below: Sequence[Side], names: Sequence[str]
) -> tuple[str, str]:
    """Which of two groups costs more cross-entropy, and by how much; empty where no pair of them was compared."""
    wanted = {frozenset((first.coder, second.coder)) for first in above for second in below}
    pairs = [pair for pair in price.by("ce_increase") if frozenset((pair.first, pair.second)) in wanted]
    if not pairs:
        return "", ""
    first = {side.coder for side in above}
    signed = [(pair, 1 if pair.first in first else -1) for pair in pairs]
    signs = {0 if not pair.apart else 1 if pair.difference.value * sign > 0 else -1 for pair, sign in signed}
    more = {1: "more than", -1: "less than"}
    if len(signs) > 1:
        said = f"{names[0]} against {names[1]} depends on the coder"
    elif signs == {0}:
        said = f"{names[0]} and {names[1]} cannot be told apart"
    else:
        said = f"{names[0]} {more[signs.pop()]} {names[1]}"
    figures = []
    for pair, sign in signed:
        coders = (pair.first, pair.second) if sign > 0 else (pair.second, pair.first)
        value, low, high = _signed(pair, sign, 4)
        figures.append(f"{coders[0]} {value} nats a token against {coders[1]} ({low} to {high}, {_p(pair)})")
    return said, f" Cost in cross-entropy: {'; '.join(figures)}."


def _equal(price: Price, skip: Sequence[Side], plain: Sequence[Side]) -> list[Claim]:
    made = []
    for first in skip:
        for second in plain:
            if not (first.score and second.score):
                continue
            pair, sign = _pair(price, "score", first, second)
            value, low, high = _signed(pair, sign)
            verdict: Verdict = "differ" if pair.apart else "not told apart"
            said = "differ in score" if pair.apart else "cannot be told apart in score"
            text = (
                f"{first.coder} and {second.coder} {said} (n {pair.n:,} each): {_superiority(pair, sign)}, difference of "
                f"means {value} ({low} to {high})."
            )
            made.append(Claim("score", first.hookpoint, _EQUAL, verdict, text))
    return made


def _less_error(price: Price, measure: Measure, skip: Sequence[Side], plain: Sequence[Side]) -> list[Claim]:
    made = []
    for first in skip:
        for second in plain:
            pairs = [
                pair for pair in price.by(measure) if {pair.first, pair.second} == {first.coder, second.coder}
            ]
            if not pairs:
                continue
            pair = pairs[0]
            sign = 1 if pair.first == first.coder else -1
            value, low, high = _signed(pair, sign, 4)
            lower = pair.difference.value * sign < 0
            verdict: Verdict = "not told apart" if not pair.apart else "holds" if lower else "reversed"
            said = {
                "holds": "is below",
                "reversed": "is above",
                "not told apart": "cannot be told apart from",
            }[verdict]
            unit = " nats a token" if measure == "ce_increase" else ""
            text = (
                f"{first.coder} {said} {second.coder} in {ERRORS[measure]}: {value}{unit} ({low} to {high}, {_p(pair)}), "
                f"paired over {pair.n:,} contexts."
            )
            expected = f"skip transcoder < transcoder in {ERRORS[measure]}"
            made.append(Claim(measure, first.hookpoint, expected, verdict, text))
    return made


def _pair(price: Price, measure: Measure, first: Side, second: Side) -> tuple[Comparison, int]:
    """The comparison of two coders, and -1 where it is the other way round."""
    for pair in price.by(measure):
        if (pair.first, pair.second) == (first.coder, second.coder):
            return pair, 1
        if (pair.first, pair.second) == (second.coder, first.coder):
            return pair, -1
    raise KeyError((first.coder, second.coder))


def _direction(pair: Comparison, sign: int) -> int:
    """1 where the first is told apart as above, by rank, -1 where as below, else 0."""
    if not pair.apart:
        return 0
    return sign if pair.superiority and pair.superiority.value > 0.5 else -sign


def _verdict(pairs: Sequence[tuple[Comparison, int]]) -> Verdict:
    signs = {_direction(pair, sign) for pair, sign in pairs}
    if {1, -1} <= signs:
        return "mixed"
    if len(signs) > 1:
        return "holds for some" if 1 in signs else "reversed for some"
    return {1: "holds", -1: "reversed", 0: "not told apart"}[signs.pop()]  # type: ignore[return-value]


def _superiority(pair: Comparison, sign: int) -> str:
    """`transcoder over sae in 71 % of pairs (69 to 73 %, p < 0.001)`."""
    assert pair.superiority is not None
    names = (pair.first, pair.second) if sign > 0 else (pair.second, pair.first)
    ends = [pair.superiority.value, pair.superiority.low, pair.superiority.high]
    value, low, high = ends if sign > 0 else [1 - ends[0], 1 - (ends[2] or 0.0), 1 - (ends[1] or 0.0)]
    percent: Callable[[float | None], str] = lambda share: f"{100 * (share or 0.0):.0f}"  # noqa: E731
    return f"{names[0]} over {names[1]} in {percent(value)} % of pairs ({percent(low)} to {percent(high)} %, {_p(pair)})"


def _signed(pair: Comparison, sign: int, digits: int = 3) -> tuple[str, str, str]:
    ends = pair.difference.value, pair.difference.low, pair.difference.high
    value, low, high = ends if sign > 0 else (ends[0], ends[2], ends[1])
    return tuple(_number(None if end is None else sign * end, digits, "+") for end in (value, low, high))  # type: ignore[return-value]


def _p(pair: Comparison) -> str:
    return "p < 0.001" if pair.p_corrected < 0.001 else f"p {pair.p_corrected:.3f}"


def _value(side: Side) -> float:
    assert side.score is not None
    return side.score.value


def _number(value: float | None, digits: int = 3, form: str = "") -> str:
    if value is None:
        return "unknown"
    text = f"{value:{form}.{digits}f}"
    return (
        text.replace("-", "−") if text.strip("+-0.") else text.lstrip("+-")
    )  # what rounds to zero has no sign


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
