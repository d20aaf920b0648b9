"""Audits of explanations by hand: what is drawn, in which order it is asked, what is shown, and what the answers say.

    options = AuditOptions(coders=("sae",), tasks=("verdict", "fuzzing"))    # autointerp.audit.options
    audit = create(resources, options, name="Pilot", author="Ada")           # autointerp.audit.draw
    annotations.audits.create(audit)
    for entry in entries(audit, "Ada"):                                      # autointerp.audit.order
        examples = contexts(resources, audit, audit.items[entry.item])       # autointerp.audit.evidence
        annotations.audits.rate(Rating(audit_id=audit.id, item=entry.item, ...))

options, strata, draw       the population, its parts, and the sample          docs/audits.md says how
order, progress             what each rater is asked, and where they stand
evidence, human             contexts and questions; people's scores beside the judge's
files, merging, exchange    audits in files, and answers from other copies of a store
fingerprints, cite          what identifies a store, in audits and in lines to cite
report, document, findings  what came of it: as figures, as plain data, in sentences; the other modules are its parts
"""
