"""Language model tokens per latent for detection and fuzzing at equal n: ours, and delphi's default beside it.

    python benchmarks/bench_tokens.py [STORE] [--coder NAME] [--latents 24] [--n 50] [--json]

Ours: the very requests that `autointerp score` would send, answered by a script and counted with a token for
every four characters of prompt and answer, for `--n` held-out activating and as many non-activating windows, with the
`pattern` explanation of each latent. Once without the floor, which delphi has none of, and once with it, which asks about a
second explanation and so doubles the calls. Without STORE the demo's is taken, else a small one is generated.

Delphi: reconstructed from figures about its code at the versions of 2025, not run. Its command line asks 50 + 50 examples
per scorer, 5 per prompt; before the examples a detection prompt holds about 2,200 characters and a fuzzing prompt about
2,600 (instructions and three worked examples); then the explanation's line, a headline, and `Example i: text` for each,
answered by a list such as [1,0,0,1,0]. We put the same windows and the same marks, two characters before and after each run,
into that form and count in the same way. Its re-asks: none. Chat templates and prefix caches are left out on both sides.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from autointerp import settings
from autointerp.explain.options import ExplainOptions
from autointerp.llm.client import Client
from autointerp.llm.messages import ChatReply, ChatRequest, Usage
from autointerp.pipeline.examples import select_heldout
from autointerp.pipeline.explain import explain
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.sampling import DEFAULT_MARKERS, mark
from autointerp.score.classify import Detection, Fuzzing
from autointerp.score.judges.llm import LLMJudge
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Plan
from autointerp.store import Store
from autointerp.store.annotations import Annotations

DELPHI_BATCH = 5
DELPHI_OVERHEAD = {"detection": 2200, "fuzzing": 2600}  # characters before the explanation
DELPHI_LINES = len("Latent explanation: ") + len("\n\nText examples:\n\n")
GOAL = 1.0
CHARACTERS = 4  # per token


def answer(request: ChatRequest) -> str:
    """A list of the asked length."""
    assert request.schema is not None
    return json.dumps({"answers": [0] * request.schema["properties"]["answers"]["minItems"]})


class Script:
    """Answers at once, in place of a connection."""

    async def send(self, request: ChatRequest, dropped: frozenset[str]) -> ChatReply:
        text = answer(request)
        return ChatReply(text, "script", usage=Usage(tokens(request.n_chars), tokens(len(text)), cost=None))

    async def models(self) -> list[str]:
        return []

    async def close(self) -> None: ...


def tokens(n_characters: int) -> int:
    return n_characters // CHARACTERS + 1


def delphi_tokens(scorer: str, explanation: str, plan: Plan) -> tuple[int, int]:
    """Prompt and answer tokens for the items of `plan` in delphi's form."""
    total_in = total_out = 0
    for first in range(0, len(plan.items), DELPHI_BATCH):
        batch = plan.items[first : first + DELPHI_BATCH]
        characters = DELPHI_OVERHEAD[scorer] + DELPHI_LINES + len(explanation)
        for i, item in enumerate(batch):
            texts = item.window.texts
            text = "".join(texts) if item.marks is None else mark(texts, item.marks, DEFAULT_MARKERS)
            characters += len(f"Example {i}: {text}\n")
        total_in += tokens(characters)
        total_out += tokens(2 * len(batch) + 1)
    return total_in, total_out


def measure(store: Store, coder_name: str, n_latents: int, n: int) -> dict[str, Any]:
    """Mean tokens per latent: {"detection": {"ours": .., "ours with floor": .., "delphi": ..}, "fuzzing": .., "latents": ..}"""
    coder = store.coder(coder_name)
    live = coder.table().live
    counts = coder.table().columns["n_contexts"][live]
    usable = live[counts >= 4 * n]  # so that every latent has n windows held out
    if not len(usable):
        raise SystemExit(
            f"no latent of {coder_name} fires in {4 * n} contexts: take a larger store or a smaller --n"
        )
    chosen = usable[np.linspace(0, len(usable) - 1, min(n_latents, len(usable))).astype(int)]
    resources = Resources(store, Annotations(store.path, read_only=True))
    with Session(resources) as session:
        explained = [explain(session, coder_name, int(latent), ExplainOptions()) for latent in chosen]
    explained = [one for one in explained if one.status == "ok"]
    sums: dict[str, dict[str, float]] = {}
    kinds: dict[str, type[Detection | Fuzzing]] = {"detection": Detection, "fuzzing": Fuzzing}
    for scorer, kind in kinds.items():
        options = ScoreOptions(scorer=scorer, judge="llm", n_examples=n, n_negatives=n)
        found = {"ours": 0.0, "ours with floor": 0.0, "delphi": 0.0, "calls": 0.0, "delphi calls": 0.0}
        for i, explanation in enumerate(explained):
            heldout = select_heldout(resources, explanation, options)
            with Client("script", base_url="http://script.invalid/v1", transport=Script()) as client:
                judged = kind(LLMJudge(client, batch=options.batch))
                plan = judged.plan(heldout, 0)
                plain = judged.score(explanation, plan)
                calls = client.stats.sent
                floored = judged.score(explanation, plan, floor=explained[i - 1])
            found["ours"] += plain.tokens_in + plain.tokens_out
            found["ours with floor"] += floored.tokens_in + floored.tokens_out
            found["delphi"] += sum(delphi_tokens(scorer, explanation.text, plan))
            found["calls"] += calls
            found["delphi calls"] += -(-len(plan.items) // DELPHI_BATCH)
        sums[scorer] = {name: value / len(explained) for name, value in found.items()}
    return {**sums, "latents": len(explained), "n": n, "coder": coder_name}


def rows(found: dict[str, Any]) -> list[tuple[str, float, float, float]]:
    """Scorer, ours, ours with floor, delphi; the last row both scorers together."""
    names = ("ours", "ours with floor", "delphi")
    parts = {scorer: [float(found[scorer][name]) for name in names] for scorer in ("detection", "fuzzing")}
    parts["both"] = [sum(pair) for pair in zip(*parts.values(), strict=True)]
    return [(scorer, ours, floored, delphi) for scorer, (ours, floored, delphi) in parts.items()]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", nargs="?", type=Path)
    parser.add_argument("--coder")
    parser.add_argument("--latents", type=int, default=24)
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with ExitStack() as stack:
        path = args.store or settings.demo_store()
        if args.store is None and not path.exists():
            from make_store import make_store

            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "store"
            make_store(path, n_activations=4_000_000, n_latents=512, k=32)
        store = Store.open(path)
        names = [info.coder for info in store.coders()]
        found = measure(store, args.coder or ("sae" if "sae" in names else names[0]), args.latents, args.n)
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        print(
            f"{found['latents']} latents of {found['coder']}, {args.n} + {args.n} examples; tokens per latent\n"
        )
        print(f"{'':12}{'ours':>10}{'with floor':>12}{'delphi':>10}{'ratio':>8}{'with floor':>12}")
        for name, ours, floored, delphi in rows(found):
            print(
                f"{name:12}{ours:10,.0f}{floored:12,.0f}{delphi:10,.0f}{ours / delphi:8.2f}{floored / delphi:12.2f}"
            )
    _, ours, _, delphi = rows(found)[-1]
    verdict = ours / delphi <= GOAL
    print(f"\nours / delphi = {ours / delphi:.2f} (goal: at most {GOAL:g})", file=sys.stderr)
    return 0 if verdict else 1


if __name__ == "__main__":
    sys.exit(main())
