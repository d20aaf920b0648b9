"""Scoring the best and worst explained again on more examples: at the ends of a long list luck counts most."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from autointerp.errors import UserError
from autointerp.jobs.kinds import score_job
from autointerp.score.options import ScoreOptions, recorded_options
from autointerp.store import ScoreKind
from autointerp.ui.shared import job_strip, services
from autointerp.ui.shared.session import open_store
from autointerp.ui.shared.text import sentence
from autointerp.ui.shared.written import Written

N_AGAIN = 200


def button(written: Written, features: Sequence[tuple[str, int]], kind: ScoreKind, key: str) -> None:
    """A button that scores the shown explanations of these features as `kind` does, but on more examples, drawn anew; none
    where that would ask a language model, which a Feature page or a batch does after showing its cost."""
    options = more_examples(kind)
    runner = services.runner(open_store())
    if options is None or runner is None:
        return
    if st.button(f"Score these again on {N_AGAIN} + {N_AGAIN} examples", icon=":material/refresh:", key=key):
        by_coder: dict[str, list[str]] = {}
        for coder, latent in features:
            shown = written.coders[coder].shown([latent])[latent]
            by_coder.setdefault(coder, []).append(shown.id)
        try:
            for coder, ids in by_coder.items():
                job_strip.remember(runner.submit(**score_job(coder, ids, [options])).id)
        except UserError as error:
            st.error(sentence(error))


def more_examples(kind: ScoreKind) -> ScoreOptions | None:
    """The settings of `kind` with more examples and another seed; `None` where a language model would be asked, or where it is
    not known how the score was made."""
    if "n_examples" not in kind.settings or kind.protocol != "held-out":
        return None
    try:
        options = recorded_options(kind.scorer, kind.judge, kind.settings)
        if options.needs_llm or "text_model" in options.entry.needs:
            return None
        return replace(options, n_examples=N_AGAIN, n_negatives=N_AGAIN, seed=options.seed + 1).check()
    except UserError:
        return None
