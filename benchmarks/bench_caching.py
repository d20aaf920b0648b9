"""Caching speed, disk and memory, beside the bare bound.

    python benchmarks/bench_caching.py [--cases C ...] [--tokens N] [--reps R] [--threads N] [--memory] [--json FILE]

The bare bound: forward pass stopped after the last hooked module, then the encoder in plain torch (linear, relu,
torch.topk), results thrown away. It and a caching run (everything stored, sorted, finished and published) alternate in one
process, order rotated; the figure is the median of the ratios of neighbouring runs. Wall times of one machine at
one moment mean little, so compare ratios. On a machine with other work, waiting threads drown everything: `--threads 1`
and the ratio of processor times still mean something there (they count our sorting and compressing in full, although it
runs beside the model on a second core).

The subject is the demo's model, or a random GPT-NeoX of its shape where that is not built yet; of the case `smollm2` it is
SmolLM2-135M-Instruct from 4-bit weights (hook at layer 12 of 30; needs the packages that `autointerp demo --subject smollm2`
names). Two things are model passes of their own, over samples whose size does not grow with the corpus, and are timed apart, in
one run each: `logits_extra_s`, the direct effect on the logits, and `fidelity_extra_s`, the loss with each coder spliced in.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from autointerp.caching import cache
from autointerp.demo.smollm2 import model_folder
from autointerp.models.coders.coder import SparseCoder
from autointerp.models.coders.loading import load_coder
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.store import Store

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "data" / "demo"
CTX_LEN, BATCH = 128, 32


@dataclass(frozen=True)
class Case:
    """A coder and what it reads. `trained`: its folder under `data/demo`, used when it is there (real activations, and dead
    latents, as in use); otherwise a random coder of the same size."""

    hookpoint: str
    n_latents: int
    k: int
    tokens: int
    trained: str | None = None

    def spec(self) -> str:
        """As `autointerp cache --coder` reads it."""
        if self.trained and list((DEMO / self.trained).glob("*/sae.safetensors")):
            return str(DEMO / self.trained)
        return f"random:{self.hookpoint}:{self.n_latents}:{self.k}"


CASES = {
    "small": Case("layers.2.mlp", 1536, 24, 262_144, "coders/sae"),
    "wide": Case("layers.2.mlp", 32768, 32, 65_536),
    "smollm2": Case("layers.12.mlp", 3072, 32, 32_768, "smollm2/coders/sae"),
}


def subject_of(case: str, scratch: Path) -> SubjectModel:
    """The model that a case reads, in float32."""
    return load_subject(str(model_folder() if case == "smollm2" else subject_folder(scratch)))


def subject_folder(scratch: Path) -> Path:
    """The demo's model, or a random one of its shape (4 layers, width 192, vocabulary 4,096)."""
    demo = DEMO / "model"
    if (demo / "model.safetensors").exists():
        return demo
    import transformers

    folder = scratch / "model"
    config = transformers.GPTNeoXConfig(
        vocab_size=4096,
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=6,
        intermediate_size=768,
        max_position_embeddings=CTX_LEN,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    transformers.GPTNeoXForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(demo / name, folder / name)
    return folder


def token_rows(subject: SubjectModel, n_tokens: int) -> np.ndarray:
    """Real text where the demo's corpus can be read, in rows of `CTX_LEN`; repeated when it is too short."""
    from autointerp.caching.tokenize import Packer, tokenize
    from autointerp.demo.corpus import iter_documents

    packer = Packer(CTX_LEN, n_tokens // CTX_LEN)
    texts = ((document.name, document.text) for document in iter_documents("heldout"))
    rows = np.concatenate(list(tokenize(texts, subject.tokenizer, packer)))
    repeats = -(-(n_tokens // CTX_LEN) // len(rows))
    return np.tile(rows, (repeats, 1))[: n_tokens // CTX_LEN].astype(np.uint16)


@torch.inference_mode()
def bound(subject: SubjectModel, coder: SparseCoder, rows: np.ndarray) -> None:
    """Forward to the hook, encode with plain torch, throw away."""
    weight = coder.W_enc
    assert weight is not None
    bias = torch.zeros(coder.n_latents, device=weight.device, dtype=weight.dtype)
    b_dec = getattr(coder, "b_dec", None)
    for start in range(0, len(rows), BATCH):
        ids = torch.from_numpy(rows[start : start + BATCH].astype(np.int64)).to(subject.device)
        x = subject.read([coder.tap], ids)[coder.tap].reshape(-1, coder.d_in).float()
        x = x if b_dec is None else x - b_dec
        torch.relu(torch.nn.functional.linear(x, weight, bias)).topk(coder.k or 0, dim=-1, sorted=False)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall time and processor time (of all threads), in seconds."""
    begun, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - used


def speed(subject: SubjectModel, case: str, n_tokens: int, reps: int, scratch: Path) -> dict[str, Any]:
    """Medians over `reps` alternating pairs."""
    spec = CASES[case].spec()
    coder = load_coder(spec, subject=subject)
    rows = token_rows(subject, n_tokens)
    store = scratch / f"store-{case}"
    # The corpus is made once, outside the timing, as it is for all later coders.
    warm = f"random:{CASES[case].hookpoint}:64:2"
    cache(store, model=subject, coders={"warm": warm}, token_ids=rows, fidelity_tokens=0)
    bound(subject, coder, rows[: 4 * BATCH])
    bounds, ours = [], []

    def run(**more: Any) -> None:
        cache(store, model=subject, coders={"it": spec}, batch_size=BATCH, overwrite=True, **more)

    def plain() -> None:
        run(fidelity_tokens=0, logits=False)

    for rep in range(reps):
        steps = [(bounds, lambda: bound(subject, coder, rows)), (ours, plain)]
        for results, work in steps if rep % 2 == 0 else reversed(steps):
            results.append(timed(work))
    info = Store.open(store).coder("it").info
    alone = statistics.median(o for o, _ in ours)
    with_logits, _ = timed(lambda: run(fidelity_tokens=0))
    with_fidelity, _ = timed(lambda: run(logits=False))
    wall = [(b[0], o[0]) for b, o in zip(bounds, ours, strict=True)]
    processor = [(b[1], o[1]) for b, o in zip(bounds, ours, strict=True)]
    tokens = rows.size
    return {
        "case": case,
        "subject": subject.name,
        "n_latents": coder.n_latents,
        "k": coder.k,
        "trained": not spec.startswith("random"),
        "tokens": tokens,
        "activations": info.n_activations,
        "bound_tokens_per_s": round(tokens / statistics.median(b for b, _ in wall)),
        "ours_tokens_per_s": round(tokens / statistics.median(o for _, o in wall)),
        "ratio_to_bound": round(statistics.median(b / o for b, o in wall), 3),
        "ratios": [round(b / o, 3) for b, o in wall],
        "processor_ratio": round(statistics.median(b / o for b, o in processor), 3),
        "bytes_per_activation": round(info.bytes_on_disk / info.n_activations, 2),
        "logits_extra_s": round(with_logits - alone, 2),
        "fidelity_extra_s": round(with_fidelity - alone, 2),
    }


def peak_rss_mb(case: str, n_tokens: int) -> float:
    """Peak resident memory of a fresh process that caches `n_tokens`, model and libraries included."""
    command = [sys.executable, __file__, "--memory-child", case, "--tokens", str(n_tokens)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1])


def memory_child(case: str, n_tokens: int) -> None:
    """Cache once and print the highest resident size seen during `cache`, in MB."""
    scratch = Path(tempfile.mkdtemp())
    try:
        subject = subject_of(case, scratch)
        # Rows are written to disk before the measured part, so that their own array is not in it.
        np.save(
            scratch / "ids.npy",
            np.tile(token_rows(subject, 20_000), (-(-n_tokens // 19_968), 1))[: n_tokens // CTX_LEN],
        )
        process = psutil.Process()
        peak, stop = process.memory_info().rss, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not stop.wait(0.005):
                info = process.memory_full_info()
                peak = max(peak, info.uss)  # without file pages that the system maps and may drop at will

        watcher = threading.Thread(target=watch)
        peak = 0
        watcher.start()
        cache(
            scratch / "store",
            model=subject,
            coders={"it": CASES[case].spec()},
            token_ids=scratch / "ids.npy",
            ctx_len=CTX_LEN,
        )
        stop.set()
        watcher.join()
        print(peak / 2**20)
    finally:
        shutil.rmtree(scratch)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tokens", type=int, help="of every case (default: 262,144 small, 65,536 wide, 32,768 smollm2)"
    )
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["small", "wide"])
    parser.add_argument("--memory", action="store_true", help="also peak memory at N and 10 N tokens")
    parser.add_argument("--memory-tokens", type=int, default=50_000)
    parser.add_argument("--memory-child", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help="threads of torch (default: its own)")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.memory_child:
        memory_child(args.memory_child, args.tokens)
        return
    scratch = Path(tempfile.mkdtemp())
    results: dict[str, Any] = {"torch_threads": torch.get_num_threads(), "speed": [], "memory": []}
    try:
        for case in args.cases:
            n_tokens = args.tokens or CASES[case].tokens
            row = speed(subject_of(case, scratch), case, n_tokens, args.reps, scratch)
            results["speed"].append(row)
            print(json.dumps(row))
        for case in args.cases if args.memory else ():
            one, ten = peak_rss_mb(case, args.memory_tokens), peak_rss_mb(case, 10 * args.memory_tokens)
            row = {
                "case": case,
                "tokens": args.memory_tokens,
                "peak_mb": round(one),
                "peak_mb_at_10x": round(ten),
                "added": round(ten / one - 1, 3),
            }
            results["memory"].append(row)
            print(json.dumps(row))
    finally:
        shutil.rmtree(scratch)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
