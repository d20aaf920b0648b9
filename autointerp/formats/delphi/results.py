"""delphi's explanations and scores of one hookpoint as records."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.errors import UserError
from autointerp.formats.delphi.places import Finder
from autointerp.formats.delphi.run import NOT_PARSED, Run
from autointerp.formats.delphi.scores import FORMATS, Reader, ScoreFormat
from autointerp.formats.summary import Summary
from autointerp.records import Explanation, Record, Score, canonical_json, example_id
from autointerp.sampling import positive_windows
from autointerp.sampling.windows import falling
from autointerp.score import delphi
from autointerp.score.resampling import Resamples
from autointerp.score.scorer import undefined
from autointerp.score.summary import Summary as Figures
from autointerp.store import CoderStore, Store
from autointerp.types import LatentActivations

_MOST_BYTES = 64 << 20
_MOST_TEXT_BYTES = 1 << 20
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Files:
    """The files of one hookpoint, by latent: `explanations`, and by delphi's name of the scorer, `scores`."""

    explanations: Mapping[int, Path]
    scores: Mapping[str, Mapping[int, Path]]


def find_results(root: Path, hookpoint: str) -> Files:
    """What the run in the folder `root` has of the hookpoint."""
    explanations = _by_latent(root / "explanations", hookpoint)
    folders = root / "scores"
    scores = sorted(path for path in folders.iterdir() if path.is_dir()) if folders.is_dir() else []
    return Files(explanations, {path.name: _by_latent(path, hookpoint.replace("/", "--")) for path in scores})


def _by_latent(folder: Path, hookpoint: str) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    name = re.compile(rf"{re.escape(hookpoint)}_latent(\d{{1,9}})\.txt")
    matches = ((path, name.fullmatch(path.name)) for path in folder.iterdir())
    return {int(match[1]): path for path, match in sorted(matches) if match}


def records(
    store: Store, coder: CoderStore, files: Files, run: Run, summary: Summary
) -> Iterator[list[Record]]:
    """The records of one latent after another, explanations before their scores, the same whenever they are read. Raises
    UserError for a file of another shape."""
    resamples = Resamples()
    reader = Reader(run, cache(lambda width: Finder(store, width)), store.ctx_len, resamples)
    for name, by_latent in files.scores.items():
        if name not in FORMATS and by_latent:
            summary.leave("scores", f"a store has no scorer like delphi's {name}", len(by_latent))
        elif lost := len(by_latent.keys() - files.explanations.keys()):
            summary.leave("scores", "their explanation is missing", lost)
    for latent, path in files.explanations.items():
        if latent >= coder.info.n_latents:
            raise UserError(
                f"{str(path)!r} is about latent {latent}, and the cache ends with {coder.info.n_latents - 1}: they are not "
                "from one run."
            )
        acts = coder.activations(latent)
        explanation = _explanation(coder.info.coder, latent, path, run, _shown(acts, store, run))
        summary.take("explanations")
        scored: list[Record] = []
        for name, by_latent in files.scores.items():
            form = FORMATS.get(name)
            if form is None or latent not in by_latent:
                continue
            if explanation.status == "failed":
                summary.leave("scores", "delphi could not read their explanation", 1)
                continue
            scored.append(_score(explanation, form, by_latent[latent], reader, acts, summary))
        yield [explanation, *scored]


def _explanation(coder: str, latent: int, path: Path, run: Run, shown: tuple[str, ...]) -> Explanation:
    text = _read(path, _MOST_TEXT_BYTES)
    if not isinstance(text, str):
        raise UserError(f"{str(path)!r} is not a JSON string, as delphi's explanations are.")
    text = text.encode("utf-8", "replace").decode()
    config = {
        "imported": "delphi",
        "protocol": "delphi",
        "explainer": run.explainer,
        "window": run.window,
        "n_examples": run.n_train,
        "sampling": run.train_type,
    }
    failed: dict[str, Any] = {}
    if text.strip() in (NOT_PARSED, ""):
        failed = {
            "status": "failed",
            "error": "delphi could not read the explainer's answer.",
            "error_kind": "unparsed",
        }
    return Explanation(
        id=_id("explanation", coder, latent, text, config),
        coder=coder,
        latent=latent,
        text="" if failed else text.strip(),
        explainer=run.explainer,
        model=run.model,
        author="delphi",
        config={name: value for name, value in config.items() if value is not None},
        prompt_version="delphi",
        example_ids=shown,
        **failed,
    )


def _score(
    explanation: Explanation,
    form: ScoreFormat,
    path: Path,
    reader: Reader,
    acts: LatentActivations,
    summary: Summary,
) -> Score:
    content, run = _read(path, _MOST_BYTES), reader.run
    try:
        judged = reader.read(form, content, acts)
    except ValueError as error:
        raise UserError(f"{str(path)!r} is not a score file of delphi's {form.scorer}: {error}.") from error
    config = {
        "imported": "delphi",
        "scorer": form.scorer,
        "protocol": "delphi",
        "window": judged.window,
        "n_examples": run.n_test,
        "n_negatives": run.n_negatives,
        "batch": run.batch if form.judge == "llm" and form.metric != "correlation" else None,
        "graded": run.graded if form.metric == "balanced_accuracy" else None,
        "wrong_marks": ("activating" if run.fuzz_type == "active" else None)
        if form.scorer == "fuzzing"
        else None,
    }
    failure = undefined(judged.summary, judged.examples, False)
    kept = judged.summary
    if failure is not None:  # a failed score has no figures but counts
        kept = Figures(n_pos=kept.n_pos, n_neg=kept.n_neg, unparsed=kept.unparsed)
    summary.take("scores")
    summary.take("judged examples", len(judged.examples))
    if judged.unplaced:
        summary.leave(
            "judged examples",
            "no window of the text matches them, so they count in the figures but cannot be shown",
            judged.unplaced,
        )
    return Score(
        id=_id("score", explanation.id, form.scorer, config, hashlib.sha256(path.read_bytes()).hexdigest()),
        explanation_id=explanation.id,
        scorer=form.scorer,
        judge=form.judge,
        metric=form.metric,
        protocol="delphi",
        negatives=judged.negatives,
        model=run.model if form.judge == "llm" else None,
        author="delphi",
        config={name: value for name, value in config.items() if value is not None},
        prompt_version="delphi",
        judged=judged.examples,
        **vars(kept),
        **({} if failure is None else {"status": "failed", **failure._asdict()}),
    )


def _shown(acts: LatentActivations, store: Store, run: Run) -> tuple[str, ...]:
    """The examples that delphi's explainer saw, which it does not record but draws with one seed; none where its
    configuration is not known or centres them. Windows with equal maxima may have come in another order."""
    if (
        run.centred
        or None in (run.window, run.n_train, run.n_quantiles, run.train_type)
        or not len(acts.token)
    ):
        return ()
    assert run.window is not None
    assert run.n_train is not None
    assert run.n_quantiles is not None
    windows = positive_windows(acts, ctx_len=store.ctx_len, window=run.window)
    order = falling(windows.maximum)
    match run.train_type:
        case "quantiles":
            ranks, _ = delphi.draw(len(order), run.n_train, run.n_quantiles)
        case "top":
            ranks = list(range(min(run.n_train, len(order))))
        case _:
            return ()
    starts = np.stack([windows.context, windows.start, windows.stop - windows.start], axis=1)[order[ranks]]
    return tuple(example_id(*place) for place in starts.tolist())


def _read(path: Path, most: int) -> Any:
    try:
        if path.stat().st_size > most:
            raise ValueError(f"it has more than {most:,} bytes")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{str(path)!r} is not JSON: {error}.") from error


def _id(*parts: object) -> str:
    """26 characters like every id, the same for the same content."""
    number = int.from_bytes(hashlib.sha256(canonical_json(list(parts)).encode()).digest()[:16])
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
