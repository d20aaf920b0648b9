"""What models wrote for a score, as kept among the store's replies, for the judged examples: continuations of prompts, and
texts written from explanations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autointerp.models.effect import Effect
from autointerp.models.fired import FiredTexts
from autointerp.pipeline.effects import kept_effect
from autointerp.pipeline.firings import kept_texts
from autointerp.records import JudgedExample, Score
from autointerp.sampling import one_line
from autointerp.score.registry import writes_texts
from autointerp.store import Store
from autointerp.types import Example
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared import services
from autointerp.ui.shared.text import visible


@dataclass(frozen=True)
class Written:
    """`effect`: what follows the prompts of `intervention`, in the order of the judged examples. `texts`: those of
    `generation`, by the `reply_ref` of the judged examples; `n_words`: in the store's vocabulary."""

    effect: Effect | None = None
    texts: Mapping[str, FiredTexts] = field(default_factory=dict)
    n_words: int = 0

    def example(self, judged: JudgedExample) -> Example | None:
        """A text with what the feature did on it; `None` where nothing was written, or it is no longer kept."""
        kept = self.texts.get(judged.reply_ref or "")
        if kept is None or not 0 <= judged.start < len(kept.texts):
            return None
        text = kept.texts[judged.start]
        if not text.token_ids or max(text.token_ids) >= self.n_words:
            return None
        return Example(
            judged.context,
            judged.start,
            np.array(text.token_ids, dtype=np.int64),
            np.array(text.activations, dtype=np.float32),
            text.maximum,
            None,
        )

    def after(self, i: int) -> dict[str, Any]:
        """What was written after this prompt, as a row has it."""
        if self.effect is None or i >= len(self.effect.prompts):
            return {}
        after = self.effect.prompts[i]
        return {
            "rank": f"KL {fmt.decimal(after.kl, 2)}",
            "after": [
                ["as it is", visible(one_line(after.clean))],
                ["raised", visible(one_line(after.raised))],
            ],
        }


NOTHING = Written()


def load(store: Store, score: Score, judged: Sequence[JudgedExample]) -> Written:
    """What was written for this score."""
    keys = list(dict.fromkeys(example.reply_ref for example in judged if example.reply_ref))
    replies = services.resources(store).replies
    if score.metric == "nats" and keys:
        return Written(effect=kept_effect(replies.get(keys[0])))
    if writes_texts(score.scorer, score.metric):
        kept = {key: kept_texts(replies.get(key)) for key in keys}
        known = {key: texts for key, texts in kept.items() if texts is not None}
        return Written(texts=known, n_words=len(store.vocabulary()))
    return NOTHING
