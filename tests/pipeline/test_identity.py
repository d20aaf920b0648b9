"""What identifies a configuration never changes: work in stores of earlier releases counts as done. The hashes were computed by
the release before options came from the registries; the versions of prompts and methods, which do change, are left out."""

from typing import Any

import pytest

from autointerp.explain.options import ExplainOptions as Explain
from autointerp.llm.options import LLMOptions
from autointerp.records import config_hash
from autointerp.score.options import ScoreOptions as Score

MODEL = LLMOptions(model="m", base_url="vllm")
OTHER = LLMOptions(
    model="other", base_url="http://localhost:9/v1", max_in_flight=3, prices={"other": {"prompt": 1, "completion": 2}}
)  # fmt: skip
CASES: list[tuple[str, Any]] = [
    ("ab1aa2f9d9689951", Explain()),
    ("ab1aa2f9d9689951", Explain(llm=MODEL)),
    ("ff20f112050a8e3f", Explain(seed=3, sampling="mix", n_examples=10)),
    ("cd92290c515c0e46", Explain(centre=True, window=16)),
    ("6a97ff412d9d3a8a", Explain(split_seed=2, heldout_fraction=0.25)),
    ("f4456bd9f86c9f1b", Explain(explainer="default", llm=MODEL)),
    (
        "54909f85003e9381",
        Explain(explainer="default", llm=OTHER, activations=False, reasoning=True, max_tokens=12),
    ),
    ("f050493c1dca5a65", Explain(explainer="contrastive", llm=MODEL, n_contrast=7)),
    ("ac85fdfd4494801d", Explain(explainer="top_logits", llm=MODEL, centre=True, sampling="top")),
    ("ce8e7030a270da25", Score()),
    ("ce8e7030a270da25", Score(llm=MODEL)),
    ("b6f0fd19f1212b92", Score(judge="llm", llm=MODEL)),
    ("5cdff9d6f8f7cbd3", Score(judge="llm", llm=OTHER, batch=3, graded=True, floor=False)),
    ("92e67225076145c9", Score(scorer="fuzzing")),
    ("bdcae18f04e7971a", Score(scorer="fuzzing", wrong_marks="activating", centre=True)),
    (
        "7a893e3f6c97d656",
        Score(scorer="fuzzing", judge="llm", llm=MODEL, protocol="delphi", n_examples=50, n_negatives=50),
    ),
    ("b503b95a27eb5a8e", Score(protocol="delphi")),
    ("0928efe995e191f2", Score(judge="llm", llm=MODEL, protocol="delphi", batch=20)),
    ("62caf4165ea53e7d", Score(negatives=("random", "neighbours"))),
    ("777c4ee18a2896f4", Score(negatives=("embedding",), embedder="x/y")),
    (
        "ca9a6ec2580f88ae",
        Score(negatives=("neighbours", "embedding"), scorer="fuzzing", judge="llm", llm=MODEL),
    ),
    ("93ce2396836aee6d", Score(scorer="embedding")),
    ("91cb231240724512", Score(scorer="embedding", embedder="x/y", judge="llm", window=64, seed=9)),
    ("2c4a8f82d22d584c", Score(scorer="embedding", negatives=("embedding",))),
    ("a11ee5aa29b734ab", Score(scorer="surprisal")),
    ("a5086d813b78ff3c", Score(scorer="surprisal", llm=MODEL, n_examples=5, n_negatives=6)),
    ("ddb1be66c06c2d1c", Score(scorer="simulation", llm=MODEL)),
    ("5bd3a4bb893b784d", Score(scorer="simulation", llm=OTHER, judge="llm", centre=True)),
]


@pytest.mark.parametrize(("expected", "options"), CASES)
def test_configurations_are_identified_as_before(expected: str, options: Explain | Score):
    identity = {name: value for name, value in options.identity().items() if name != "version"}
    if identity.get("protocol") == "held-out":
        identity["protocol"] = "ours"  # its old name; a migration renamed it in stored configurations
    assert config_hash(identity)[:16] == expected
    assert type(options).from_dict(options.to_dict()) == options
