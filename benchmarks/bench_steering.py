"""How long a person waits for steered continuations, beside what `generate` takes for as many rows without steering.

    python benchmarks/bench_steering.py STORE [--coder NAME] [--tokens 20] [--prompt-tokens 40] [--reps 5]

Two strengths beside the unmodified continuation, from the prompt's last token and from its first, and to a target KL. The first
call of the process, which loads model and coder and tries what the model can do, is shown apart; the rest are medians over
other latents and prompts, after one call of each case. Wall and processor time in seconds. The ratio is that of processor times
to `generate` with three rows of as many tokens and as many threads; either may end a text early.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autointerp.models.threads import threads_for
from autointerp.probe import Prober
from autointerp.steering.options import SteeringOptions
from autointerp.steering.steerer import SMALL, Steerer
from autointerp.store import Store

CASES: dict[str, dict[str, Any]] = {
    "last token": {"strengths": (1.0, 4.0)},
    "first token": {"strengths": (1.0, 4.0), "start": "prompt"},
    "target KL": {"strengths": (0.1, 1.0), "unit": "kl"},
}


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and processor time."""
    begun, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - used


def median(times: list[tuple[float, float]]) -> tuple[float, float]:
    wall, processor = zip(*times, strict=True)
    return statistics.median(wall), statistics.median(processor)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--coder")
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--prompt-tokens", type=int, default=40)
    parser.add_argument("--reps", type=int, default=5)
    args = parser.parse_args()

    store = Store.open(args.store)
    coder = store.coder(args.coder or store.coders()[0].coder)
    name = coder.info.coder
    rng = np.random.default_rng(0)
    latents = rng.permutation(coder.table().live).tolist()
    rows = rng.permutation(store.n_contexts).tolist()
    prober = Prober(store)
    steerer = Steerer(store, prober)

    def call(case: str) -> tuple[float, float]:
        tokens = store.tokens[rows.pop(), : args.prompt_tokens].tolist()
        options = SteeringOptions((latents.pop(),), n_new=args.tokens, **CASES[case])
        return timed(lambda: steerer.steer(name, "".join(store.decode(tokens)), options))

    first = call("last token")
    found = {}
    for case in CASES:
        call(case)
        found[case] = median([call(case) for _ in range(args.reps)])
    with prober.loaded(name) as (_, subject, _):
        weights = sum(weight.numel() for weight in subject.model.parameters())

        def generate() -> None:
            ids = torch.tensor(np.array([store.tokens[rows.pop(), : args.prompt_tokens]] * 3, dtype=np.int64))
            more = {"max_new_tokens": args.tokens, "pad_token_id": 0, "do_sample": True, "top_k": 0}
            with threads_for(3 * weights, small=SMALL):
                subject.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **more)  # type: ignore[operator]

        generate()
        bare = median([timed(generate) for _ in range(args.reps)])
    print(f"first call of the process: {first[0]:.2f} s, {first[1]:.2f} s of processor time")
    print(f"{'':14} {'wall':>7} {'processor':>10} {'ratio':>7}")
    for case, (wall, processor) in found.items():
        print(f"{case:14} {wall:7.2f} {processor:10.2f} {processor / bare[1]:7.2f}")
    print(f"{'generate':14} {bare[0]:7.2f} {bare[1]:10.2f} {1:7.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
