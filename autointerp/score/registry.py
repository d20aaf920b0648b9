"""The ways to score, and the options they take. To add one: a module with `build(options, resources, client, cancel)`, and an
entry here.

`build` gets the `ScoreOptions`, `autointerp.score.resources.Resources`, a client where the entry needs "llm" (or its judge is
a language model), and a cancel token; it returns a `Scorer`.
"""

from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Any

from autointerp.records import Metric
from autointerp.registry import CENTRE, KL, SEED, WINDOW, Entry, Option, Registry, count
from autointerp.score.prompts import (
    detection,
    fuzzing,
    generation,
    intervention,
    intruder,
    simulation,
    surprisal,
)
from autointerp.settings import DEFAULT_EMBEDDER


@dataclass(frozen=True)
class MetricRange:
    """What a metric's values mean: lowest, highest, and what chance gives (NaN: it depends on the latent, and the floor tells).
    `axis`: the ends of the axis on which a value is drawn beside a text; what lies beyond stands at its end. `uncounted`: what
    is said of answers, or texts, that are in no figure."""

    label: str
    low: float
    high: float
    chance: float
    axis: tuple[float, float] = (0.0, 1.0)
    uncounted: str = "unparsed"

    @property
    def bounded(self) -> bool:
        return isfinite(self.low) and isfinite(self.high)


N_TEXTS = 5
"""Texts in a question about an intruder."""

METRICS: dict[str, MetricRange] = {
    "balanced_accuracy": MetricRange("balanced accuracy", 0.0, 1.0, 0.5),
    "auroc": MetricRange("AUROC", 0.0, 1.0, 0.5),
    "correlation": MetricRange("correlation", -1.0, 1.0, 0.0),
    "triplet_auroc": MetricRange("AUROC over triplets", 0.0, 1.0, 0.5),
    "intruder_accuracy": MetricRange(f"accuracy, one of {N_TEXTS}", 0.0, 1.0, 1 / N_TEXTS),
    "nats": MetricRange("nats", -inf, inf, 0.0, axis=(-4.0, 4.0)),
    "hit_rate": MetricRange("share of texts in which it fires", 0.0, 1.0, nan, uncounted="not counted"),
}
JUDGES = {"offline": "offline judge", "llm": "LLM"}

JUDGE = Option(
    name="judge",
    label="Judge",
    help="Who judges the examples. Either judge sees only the explanation and the examples",
    default="offline",
    choices=JUDGES,
    cli_help="who judges the examples (default: llm with --llm, else offline)",
)
N_EXAMPLES = count(
    "n_examples", "Activating", "Held-out activating examples, which no explainer has seen", default=30
)
N_NEGATIVES = count("n_negatives", "Non-activating", "Non-activating examples", default=30)
N_QUESTIONS = count(
    "n_questions",
    "Questions",
    f"Questions of {N_TEXTS} held-out texts each, one of them the intruder",
    default=30,
)
N_WRITTEN = Option(
    name="n_texts",
    label="Texts to write",
    help="Texts written from an explanation",
    default=10,
    kind=int,
    minimum=2,
    maximum=100,
)
FIRES_ABOVE = Option(
    name="fires_above",
    label="Fires above",
    help="A text counts when the feature's activation exceeds this share of its maximum in the corpus; 0: when it fires at all",
    default=0.0,
    kind=float,
    minimum=0.0,
    maximum=1.0,
    metavar="SHARE",
)
NEGATIVES = Option(
    name="negatives",
    label="Source of non-activating examples",
    help="Where non-activating examples come from, in equal parts",
    default=("random",),
    choices={"random": "Random", "neighbours": "Neighbours", "embedding": "Similar in meaning"},
    several=True,
    metavar="SOURCE",
    cli_help="where non-activating examples come from, in equal parts: random, neighbours (similar latents fire there), "
    "embedding (similar in meaning)",
)
WRONG_MARKS = Option(
    name="wrong_marks",
    label="Wrong marks in",
    help="Where wrong marks are placed; harder in activating examples: the text fits, only the marks are wrong",
    default="non_activating",
    choices={"non_activating": "Non-activating examples", "activating": "Activating examples"},
)
PROTOCOL = Option(
    name="protocol",
    label="Protocol",
    help="delphi: the reference's sampling without a held-out split, its marks and its batches, but not its "
    "prompts; meant for explanations made by the same protocol",
    default="held-out",
    choices={"held-out": "held-out", "delphi": "delphi"},
    renamed={"ours": "held-out"},
    cli_help="delphi: the reference's sampling without a held-out split, its marks, its batches and its pooled figures, but "
    "not its prompts; meant for explanations made by the same protocol",
)
FLOOR = Option(
    name="floor",
    label="Floor",
    help="Also score a random other explanation on the same examples",
    default=True,
    kind=bool,
    flag="--no-floor",
    cli_help="leave out the floor, which halves the number of requests",
    in_app=False,
)
BATCH = Option(
    name="batch",
    label="Texts per prompt",
    help="Examples in one prompt",
    default=10,
    kind=int,
    minimum=1,
    maximum=100,
    in_app=False,
    when={"judge": "llm"},
)
GRADED = Option(
    name="graded",
    label="Graded answers",
    help="Request log probabilities, which give graded answers and an AUROC",
    default=False,
    kind=bool,
    in_app=False,
    when={"judge": "llm"},
)
EMBEDDER = Option(
    name="embedder",
    label="Embedder",
    help="Sentence encoder",
    default=DEFAULT_EMBEDDER,
    in_app=False,
    metavar="NAME",
    cli_help=f"sentence encoder (default: the one in the app's Settings, initially {DEFAULT_EMBEDDER})",
)

TEXT_MODEL = Option(
    name="text_model",
    label="Intervention judge",
    help="Which language model says how likely the explanation is: the store's own, or the one chosen in Settings, served by "
    "vLLM or llama.cpp",
    default="own",
    choices={"own": "The store's own model", "llm": "LLM"},
    cli_help="which language model says how likely the explanation is: the store's own, or that of --llm, served by vLLM or "
    "llama.cpp",
)

_DRAWN = (N_EXAMPLES, N_NEGATIVES, NEGATIVES, WINDOW, CENTRE, SEED)
_EXAMPLES = (*_DRAWN, FLOOR)
_JUDGED = (JUDGE, *_EXAMPLES, PROTOCOL, BATCH, GRADED)


@dataclass(frozen=True, kw_only=True)
class ScorerEntry(Entry):
    """A way to score. `metric`: a name in `METRICS`. `answered_by`: recorded as the judge where no judge is chosen.
    `marks`: whether the question is if the right tokens are marked, rather than if the latent fires. `grade`: what graded
    answers are. `high`, `low`: what an explanation does that scores high or low (where none is read, the feature), for pairs
    of scorers that disagree.
    `written`: what it judges are no windows of the corpus but texts written from the explanation, each a hit where the latent
    fires, and for the floor from another explanation: every version has texts of its own, which have no decile or protocol.
    `explanation_free`: it never reads the explanation, so all versions of a latent's get the same score, on examples that
    depend on the latent alone; there is no floor, and chance takes its place."""

    metric: Metric
    answered_by: str = ""
    marks: bool = False
    grade: str = ""
    high: str = ""
    low: str = ""
    written: bool = False
    explanation_free: bool = False

    @property
    def judged(self) -> bool:
        """Whether a judge, offline or language model, answers."""
        return "judge" in self.needs

    @property
    def usual(self) -> bool:
        """Whether it is chosen until someone chooses: it asks no language model, not even the store's own, and judges the
        explanation."""
        return not self.explanation_free and not self.needs & {"llm", "text_model"}


def writes_texts(scorer: str, metric: str) -> bool:
    """Whether it judges texts written from the explanation, see `ScorerEntry.written`. A scorer that this program does not know
    (of an older store or a newer program) is judged by its metric."""
    return metric == "hit_rate" or (scorer in SCORERS and SCORERS[scorer].written)


def uncounted(metric: str, n: int) -> str:
    """`2 unparsed`: how many answers are in no figure; empty where all are in one."""
    return f"{n} {METRICS[metric].uncounted if metric in METRICS else MetricRange.uncounted}" if n else ""


def _judged_version(options: Any) -> str:
    from autointerp.score.judges.offline import VERSION

    if options.judge == "offline":
        return VERSION
    return (fuzzing if options.scorer == "fuzzing" else detection).VERSION


def _intruder_version(options: Any) -> str:
    from autointerp.score.judges.odd_one_out import OFFLINE_VERSION

    return OFFLINE_VERSION if options.judge == "offline" else intruder.VERSION


SCORERS: Registry[ScorerEntry] = Registry(
    "scorer",
    ScorerEntry(
        name="detection",
        label="Detection",
        help="A judge says in which texts the latent fires",
        metric="balanced_accuracy",
        high="separates activating from non-activating texts",
        low="does not separate activating from non-activating texts: it is too broad, or names a common token",
        needs=frozenset({"judge", "negatives"}),
        options=_JUDGED,
        build="autointerp.score.classify:build",
        version=_judged_version,
    ),
    ScorerEntry(
        name="fuzzing",
        label="Fuzzing",
        help="A judge says in which texts the right tokens are marked",
        metric="balanced_accuracy",
        high="names the active tokens",
        low="does not name the active tokens",
        needs=frozenset({"judge", "negatives"}),
        options=(*_JUDGED, WRONG_MARKS),
        marks=True,
        build="autointerp.score.classify:build",
        version=_judged_version,
    ),
    ScorerEntry(
        name="embedding",
        label="Embedding",
        help="Similarity of explanation and text under a sentence encoder",
        metric="auroc",
        answered_by="embedder",
        grade="similarity",
        high="names the topic of activating texts",
        low="is about form (a word piece, a position, punctuation), not about a topic",
        needs=frozenset({"embedder", "negatives"}),
        options=(*_EXAMPLES, EMBEDDER),
        build="autointerp.score.embedding:build",
    ),
    ScorerEntry(
        name="surprisal",
        label="Surprisal",
        help="How much the explanation raises the text's probability under the store's own language model",
        metric="auroc",
        answered_by="language model",
        high="makes activating texts easier to predict",
        low="does not make activating texts easier to predict",
        needs=frozenset({"text_model", "negatives"}),
        options=_EXAMPLES,
        build="autointerp.score.surprisal:build",
        version=lambda options: f"{surprisal.VERSION}, {surprisal.SHORT_VERSION}",
    ),
    ScorerEntry(
        name="simulation",
        label="Simulation",
        help="A language model predicts the activation of every token",
        metric="correlation",
        answered_by="llm",
        high="predicts where and how strongly the feature fires",
        low="does not predict where or how strongly the feature fires",
        needs=frozenset({"llm"}),
        options=_EXAMPLES,
        build="autointerp.score.simulation:build",
        # Which of the two it will be, the server decides.
        version=lambda options: f"{simulation.VERSION}, {simulation.SLOT_VERSION}",
    ),
    ScorerEntry(
        name="intervention",
        label="Intervention",
        help="How much texts written with the feature raised increase the explanation's probability under a language model",
        metric="nats",
        answered_by="language model",
        high="names what the feature makes the model write",
        low="does not name what the feature makes the model write",
        needs=frozenset({"text_model", "effect"}),
        options=(N_EXAMPLES, KL, TEXT_MODEL, WINDOW, CENTRE, SEED, FLOOR),
        build="autointerp.score.intervention:build",
        version=lambda options: f"{intervention.VERSION}, {intervention.SHORT_VERSION}",
    ),
    ScorerEntry(
        name="generation",
        label="Generation",
        help="A language model writes texts from the explanation: the share in which the feature fires; the floor is the "
        "same share of texts written from another feature's explanation",
        metric="hit_rate",
        written=True,
        answered_by="llm",
        high="is enough to write texts in which the feature fires",
        low="is not enough to write texts in which the feature fires: it is wrong, too broad, or leaves out what is needed",
        needs=frozenset({"llm", "firings"}),
        options=(N_WRITTEN, FIRES_ABOVE, SEED, FLOOR),
        build="autointerp.score.generation:build",
        version=lambda options: generation.VERSION,
    ),
    ScorerEntry(
        name="example_embedding",
        label="Example embedding",
        help="Whether activating texts are more similar to each other than to other texts under a sentence encoder; needs no "
        "explanation",
        metric="triplet_auroc",
        answered_by="embedder",
        grade="Δ",
        high="fires on texts that are alike",
        low="fires on texts that are no more alike than any others",
        explanation_free=True,
        needs=frozenset({"embedder", "negatives"}),
        options=(*_DRAWN, EMBEDDER),
        build="autointerp.score.example_embedding:build",
    ),
    ScorerEntry(
        name="intruder",
        label="Intruder",
        help=f"A judge finds the one of {N_TEXTS} texts in which the feature does not fire; needs no explanation",
        metric="intruder_accuracy",
        high="fires on texts that have something in common",
        low="fires on texts with nothing visibly in common",
        explanation_free=True,
        needs=frozenset({"judge", "negatives"}),
        options=(JUDGE, N_QUESTIONS, NEGATIVES, WINDOW, CENTRE, SEED),
        build="autointerp.score.intruder:build",
        version=_intruder_version,
    ),
)
