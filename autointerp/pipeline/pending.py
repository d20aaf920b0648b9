"""What there is to work on: latents as people write them, latents without an explanation, explanations without a score."""

import re
from collections.abc import Callable, Iterable, Sequence

from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.records import config_hash
from autointerp.score.options import ScoreOptions
from autointerp.store import CoderStore, Store
from autointerp.store.annotations import Annotations

MAX_RANGES = 100_000
_RANGE = re.compile(r"\s*([0-9]{1,18})\s*(?:[-–]\s*([0-9]{1,18})\s*)?")


def live_latents(store: Store, coder: str) -> list[int]:
    """Latents that fire at all."""
    return store.coder(coder).table().live.tolist()


def unexplained(
    annotations: Annotations, coder: str, latents: Iterable[int], options: ExplainOptions
) -> list[int]:
    """Of `latents` those without a good explanation with this exact configuration."""
    done = annotations.explained(
        coder, explainer=options.explainer, config_hash=config_hash(options.identity())
    )
    return [latent for latent in latents if latent not in done]


def explanations_to_score(
    annotations: Annotations, coder: str, latents: Iterable[int] | None = None
) -> list[str]:
    """Ids of the shown explanations of `latents`, else of all, ascending by latent, and of newer ones that are not shown
    because they are not scored yet."""
    table = annotations.summary(coder)
    ids: list[str] = table["explanation_id"].to_pylist()
    pairs = zip(table["latent"].to_pylist(), ids, strict=True)
    wanted, untried = None if latents is None else set(latents), annotations.untried(coder)
    return [
        id_
        for latent, shown in pairs
        if wanted is None or latent in wanted
        for id_ in dict.fromkeys((shown, untried.get(latent, shown)))
    ]


def unscored(
    annotations: Annotations, coder: str, explanation_ids: Iterable[str], options: Sequence[ScoreOptions]
) -> list[str]:
    """Of the explanations those that lack a good score with this exact configuration by any of `options`."""
    done = [
        annotations.scored(
            coder, scorer=choice.scorer, judge=choice.judge_name, config_hash=config_hash(choice.identity())
        )
        for choice in options
    ]
    return [id_ for id_ in explanation_ids if not all(id_ in some for some in done)]


def parse_latents(text: str, coder: CoderStore) -> list[int]:
    """The latents of numbers and ranges (both ends included), ascending and each once.

    Raises UserError for anything else, UnknownName for numbers that the coder does not have.
    """
    return parse_ranges(text, coder.check_latent)


def parse_ranges(text: str, check: Callable[[int], int]) -> list[int]:
    """The numbers of `0-99,512`, both ends of ranges included, ascending and each once. `check` raises UserError for one that
    is not accepted, so does anything else."""
    latents: set[int] = set()
    parts = text.split(",")
    if len(parts) > MAX_RANGES:
        raise UserError(f"{len(parts):,} ranges; give at most {MAX_RANGES:,}.")
    for part in parts:
        match = _RANGE.fullmatch(part)
        if not match:
            given = part.strip()
            given = given if len(given) <= 40 else f"{given[:37]}..."
            raise UserError(
                f"{given!r} is not a number or a range. Give numbers from 0 and ranges, separated by commas, such as 0-99,512."
            )
        first = check(int(match[1]))
        last = first if match[2] is None else check(int(match[2]))
        if last < first:
            raise UserError(f"The range {part.strip()} runs backwards; write {last}-{first}.")
        latents.update(range(first, last + 1))
    return sorted(latents)
