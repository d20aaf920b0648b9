"""What a comparison says of the papers' claims, in sentences: from the figures of `price` alone, whichever way they fall."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from autointerp.compare.price import Comparison, Measure, Price, Side
from autointerp.compare.ranks import MIN_LATENTS
from autointerp.score.registry import SCORERS
from autointerp.store import ScoreKind

Verdict = Literal["holds", "reversed", "not told apart", "mixed"]
ORDER = (("transcoder", "skip_transcoder"), ("sae",), ("neurons",), ("random",))
"""Kinds of coders, the most interpretable first, as the papers have them."""
PLURALS = {"transcoder": "transcoders", "sae": "SAEs", "neurons": "neurons", "random": "random controls"}
ERRORS: dict[Measure, str] = {"ce_increase": "cross-entropy", "fvu": "FVU"}


@dataclass(frozen=True)
class Claim:
    """`expected`: what the papers say. `verdict`: whether it holds here; `text`: the same with figures."""

    measure: Measure
    hookpoint: str
    expected: str
    verdict: Verdict
    text: str


def claims(price: Price) -> list[Claim]:
    """Of each hookpoint those that its coders can be held against."""
    made = []
    hookpoints = list(dict.fromkeys(side.hookpoint for side in price.sides))
    for hookpoint in hookpoints:
        sides = [side for side in price.sides if side.hookpoint == hookpoint]
        groups = [[side for side in sides if side.kind in kinds] for kinds in ORDER]
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
        return "Nothing is scored yet, so nothing can be said of how interpretable these coders are."
    ordered = [claim for claim in claims(price) if claim.measure == "score" and claim.expected != _EQUAL]
    by = scoring(price.kind)
    if not price.by("score"):
        return f"There are too few scores for a test: {by}."
    if not ordered:
        return _best(price, by)
    held = [claim for claim in ordered if claim.verdict == "holds"]
    where = (
        f"at {_list(list(dict.fromkeys(claim.hookpoint for claim in ordered)))} in {by} (n {price.n:,} each)"
    )
    order = " > ".join(dict.fromkeys(part for claim in ordered for part in claim.expected.split(" > ")))
    if len(held) == len(ordered):
        return f"The papers' order, {order}, holds {where}."
    failing = "; ".join(
        f"{claim.expected}: {_WORDS[claim.verdict]}" for claim in ordered if claim not in held
    )
    verb = "holds in part" if held else "does not hold"
    return f"The papers' order, {order}, {verb} {where}. {failing[:1].upper()}{failing[1:]}."


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
}


def scoring(kind: ScoreKind) -> str:
    """`detection by the offline judge`: who asked and who answered."""
    judge = {"offline": "the offline judge", "llm": kind.model or "LLM", "embedder": kind.model or "embedder"}
    return f"{SCORERS.label(kind.scorer).lower()} by {judge.get(kind.judge, kind.judge)}"


def _best(price: Price, by: str) -> str:
    """Where no two coders are of kinds that the papers order."""
    ranked = sorted((side for side in price.sides if side.score), key=lambda side: -_value(side))
    first, *rest = ranked
    equal = [side.coder for side in rest if not _pair(price, "score", first, side)[0].apart]
    text = f"In {by}, {first.coder} scores highest, {_number(_value(first))} (n {price.n:,} each)"
    return f"{text}; {_list(equal)} cannot be told apart from it." if equal else f"{text}, above all others."


def _above(price: Price, above: Sequence[Side], below: Sequence[Side]) -> list[Claim]:
    pairs = [
        _pair(price, "score", first, second)
        for first in above
        for second in below
        if first.score and second.score
    ]
    if not pairs:
        return []
    names = [
        PLURALS["transcoder" if "transcoder" in group[0].kind else group[0].kind] for group in (above, below)
    ]
    verdict = _verdict(pairs)
    said = {
        "holds": f"{names[0]} score above {names[1]}",
        "reversed": f"{names[0]} score below {names[1]}",
        "not told apart": f"{names[0]} and {names[1]} cannot be told apart",
        "mixed": f"{names[0]} against {names[1]} depends on the coder",
    }
    text = f"{said[verdict]} (n {price.n:,} each): {'; '.join(_superiority(pair, sign) for pair, sign in pairs)}."
    expected = " > ".join(names)
    return [Claim("score", above[0].hookpoint, expected, verdict, _sentence(text))]


def _equal(price: Price, skip: Sequence[Side], plain: Sequence[Side]) -> list[Claim]:
    made = []
    for first in skip:
        for second in plain:
            if not (first.score and second.score):
                continue
            pair, sign = _pair(price, "score", first, second)
            value, low, high = _signed(pair, sign)
            verdict: Verdict = "reversed" if pair.apart else "not told apart"
            said = "differ in score" if pair.apart else "cannot be told apart in score"
            text = (
                f"{first.coder} and {second.coder} {said} (n {pair.n:,} each): difference of means {value} ({low} to {high}, "
                f"{_p(pair)})."
            )
            made.append(Claim("score", first.hookpoint, _EQUAL, verdict, text))
    return made


def _less_error(price: Price, measure: Measure, skip: Sequence[Side], plain: Sequence[Side]) -> list[Claim]:
    made = []
    for first in skip:
        for second in plain:
            found = [
                pair for pair in price.by(measure) if {pair.first, pair.second} == {first.coder, second.coder}
            ]
            if not found:
                continue
            pair = found[0]
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


def _verdict(pairs: Sequence[tuple[Comparison, int]]) -> Verdict:
    signs = {
        0 if not pair.apart else sign if pair.superiority and pair.superiority.value > 0.5 else -sign
        for pair, sign in pairs
    }
    if len(signs) > 1:
        return "mixed"
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
