"""Which scores a version of an explanation gets, and the jobs that they are."""

from collections.abc import Sequence
from typing import Any

from autointerp.errors import UserError
from autointerp.jobs.kinds import score_job
from autointerp.llm.options import LLMOptions
from autointerp.records import Score
from autointerp.score.options import ScoreOptions, options_of
from autointerp.score.registry import JUDGE, SCORERS
from autointerp.store import Store
from autointerp.ui.shared import llm_settings, services
from autointerp.ui.shared.options import plain_score
from autointerp.ui.shared.versions import Versions, score_kind


def llm_options() -> LLMOptions | None:
    """The language model chosen in Settings, with this session's key."""
    try:
        return llm_settings.current()
    except UserError:
        return None


def score_jobs(
    store: Store, coder: str, ids: Sequence[str], options: Sequence[ScoreOptions]
) -> tuple[list[dict[str, Any]], bool]:
    """One job for what is quick, before one for what is not; whether the first is quick."""
    fast = [option for option in options if is_quick(store, option)]
    slow = [option for option in options if option not in fast]
    parts = [part for part in (fast, slow) if part] or [fast]
    return [score_job(coder, ids, part) for part in parts], bool(fast)


def is_quick(store: Store, options: ScoreOptions) -> bool:
    """Whether a score takes only a moment: no language model, and no model that has to be loaded first."""
    if "embedder" in options.entry.needs:
        loaded = services.resources(store).has_embedder(options.embedder)
        return loaded and llm_settings.has_embeddings(store, options.embedder)
    return not options.needs_llm and "text_model" not in options.entry.needs


def as_before(versions: Versions, options: Sequence[ScoreOptions]) -> list[ScoreOptions]:
    """`options`, each as the version in sight was scored by that scorer and judge, if it was: so that the new version and the
    old one are judged on the same examples."""
    before = {  # the newest of each scorer and judge: later keys replace earlier ones
        (score.scorer, score.judge): score
        for score in reversed(versions.scores_of(versions.current) if versions.current else [])
        if score.status == "ok"
    }
    chosen = []
    for option in options:
        newest = before.get((option.scorer, option.judge_name))
        try:
            chosen.append(option if newest is None else options_of(newest, option.llm))
        except UserError:  # made with options that no longer exist
            chosen.append(option)
    return chosen


def default_scores(store: Store) -> list[ScoreOptions]:
    """The scores of a new version unless someone chooses: everything that works without a language model here."""
    embedded = llm_settings.has_embeddings(store)
    usual = [
        name for name, entry in SCORERS.items() if entry.usual and (embedded or "embedder" not in entry.needs)
    ]
    return [plain_score(name, JUDGE.default, None) for name in usual]


def as_scored(scores: Sequence[Score]) -> list[ScoreOptions]:
    """How these were made, each kind once, on the same examples and with the same seed. `scores`: newest first. Failed ones are
    left out, and those that ask a model where none is chosen now."""
    options: dict[tuple[str | None, ...], ScoreOptions] = {}
    for score in scores:
        if score.status == "ok" and score_kind(score) not in options:
            try:
                options[score_kind(score)] = options_of(score, llm_options())
            except UserError:
                continue
    return list(options.values())
