"""Explaining and scoring on a store: select the examples, ask, record. Functions over `Resources`, an open store with what
they share; jobs, the command line and the pages call the same ones.

    resources = Resources(store, annotations)                # autointerp.pipeline.resources
    with Session(resources) as session:                      # autointerp.pipeline.session
        explanation = explain(session, "sae", 12, ExplainOptions())
        annotations.add(explanation)
        annotations.add(score(session, explanation, ScoreOptions(scorer="fuzzing")))

examples   what an explainer is shown and a scorer asks about
explain    a latent to an explanation           score       an explanation to a score; scores compared and pooled
estimate   what a run would send and cost       pending     what has no explanation or score yet
"""
