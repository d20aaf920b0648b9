"""Lines to cite: which feature or audit, of which text and coder, so that a reader can tell whether they have the same."""

from autointerp import __version__
from autointerp.audit.fingerprints import fingerprints
from autointerp.errors import UserError
from autointerp.ratings import Audit
from autointerp.store import Store
from autointerp.store.annotations import Annotations

_DIGITS = 12


def cite_feature(store: Store, annotations: Annotations, coder: str, latent: int) -> str:
    """Raises UserError for a feature that does not exist."""
    reader = store.coder(coder)
    latent = reader.check_latent(latent)
    info, prints = reader.info, fingerprints(store, [coder])
    model = prints["model"]
    of_model = f"{model['name']} ({model['fingerprint']})" if model["fingerprint"] else model["name"]
    parts = [
        f"Feature {latent} of {coder}, {info.kind} at {info.hookpoint} of {of_model}",
        f"coder {prints['coders'][coder][:_DIGITS]}",
        f"corpus {prints['corpus'][:_DIGITS]} ({store.meta['corpus']['n_tokens']:,} tokens)",
    ]
    shown = annotations.shown(coder, latent)
    if shown is not None:
        by = (
            shown.author
            if shown.explainer == "person"
            else " ".join(filter(None, (shown.explainer, shown.model)))
        )
        seed = "" if shown.seed is None else f", seed {shown.seed}"
        parts.append(f"explanation {shown.id} by {by}{seed}: “{' '.join(shown.text.split())}”")
    return f"{'; '.join(parts)}. autointerp {__version__}."


def cite_audit(audit: Audit) -> str:
    """Of one made here or elsewhere. Raises UserError for one that does not say what it was made on."""
    prints = audit.store
    if not {"model", "corpus", "coders"} <= prints.keys():
        raise UserError(f"The audit “{audit.name}” does not say which store it was made on.")
    n_controls = sum(item.is_control for item in audit.items)
    population = sum(stratum.population for stratum in audit.strata)
    coders = ", ".join(f"{name} ({print_[:_DIGITS]})" for name, print_ in prints["coders"].items())
    return (
        f"Audit “{audit.name}” by {audit.author}, {audit.created[:10]}, {audit.id}: {len(audit.items) - n_controls:,} of "
        f"{population:,} explanations in {len(audit.strata)} strata, {n_controls} controls, {' and '.join(audit.tasks)}, seed "
        f"{audit.seed}, options {audit.config_hash[:_DIGITS]}; {prints['model']['name']}, corpus {prints['corpus'][:_DIGITS]}, "
        f"coders {coders}. autointerp {__version__}."
    )
