"""Generates a large store through the real writers: by default 10^8 activations over 32,768 latents.

    python benchmarks/make_store.py PATH [--text-of STORE] [--activations 100000000] [--latents 32768] [--k 32] [--coders 1]
        [--explained N]

The corpus is a Zipf-distributed stream of made-up words, or the contexts of another store (`--text-of`, such as the demo's),
drawn at random with repeats until there are enough. Latents have Zipf-like densities, a preferred set of tokens, values from a
log-normal per latent, and some never fire. Logits, neighbours and fidelity are there too, so that every page has
something to show. Takes at most three minutes on two free cores. The first `--explained` latents of the first coder get an
explanation of twelve words and three scores each, written as jobs write them.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autointerp.records import Explanation, Record, Score
from autointerp.store import CoderWriter, CorpusWriter, Store
from autointerp.store.annotations import Annotations
from autointerp.types import CoderInfo, Fidelity

VOCABULARY = 16_384
CTX_LEN = 128
TOKENS_PER_BATCH = 16_384
SCORERS = ("detection", "fuzzing", "embedding")
WORDS = (
    *("closing", "bracket", "after", "numbers", "in", "tables", "docstring", "parameter", "names", "array"),
    *("shape", "commas", "quotes", "prompt"),
)
LATENTS_PER_WRITE = 5000


def repeat_corpus(path: Path, n_contexts: int, text_of: Store, rng: np.random.Generator) -> Store:
    """The contexts of another store, each about equally often, in random order."""
    vocabulary = text_of.vocabulary()
    entries = [
        (vocabulary.text(token), vocabulary.bytes(token), vocabulary.is_special(token))
        for token in range(text_of.vocab_size)
    ]
    with CorpusWriter(
        path, model=text_of.meta["model"], tokenizer=text_of.meta["tokenizer"],
        name=f"{text_of.meta['corpus']['name']}, repeated", ctx_len=text_of.ctx_len, vocabulary=entries,
    ) as writer:  # fmt: skip
        while writer.n_contexts < n_contexts:
            order = rng.permutation(text_of.n_contexts)[: n_contexts - writer.n_contexts]
            for start in range(0, len(order), 4096):
                writer.append(text_of.tokens[order[start : start + 4096]])
        return writer.finish()


def make_corpus(path: Path, n_contexts: int, rng: np.random.Generator) -> Store:
    """A corpus of made-up words: pieces with and without a leading space, some punctuation, some HTML and Unicode."""
    syllables = [
        "ba",
        "ke",
        "li",
        "mo",
        "nu",
        "ra",
        "se",
        "ti",
        "vo",
        "zu",
        "chi",
        "dro",
        "fle",
        "gna",
        "qui",
        "sha",
    ]
    hostile = ["<b>", "</span>", "&", '"', "\n", "\t", "$x$", "`", "\u202e", "\u00e9", "\U0001f600"]
    pieces = [b"<|endoftext|>", *[piece.encode() for piece in hostile]]
    while len(pieces) < VOCABULARY:
        number = len(pieces)
        word = "".join(syllables[(number >> shift) % 16] for shift in (0, 4, 8, 12) if number >> shift)
        pieces.append(((" " if number % 3 else "") + word).encode())
    model = {"name": "generated", "source": "benchmarks/make_store.py", "revision": None, "d_model": 768,
             "n_layers": 12, "vocab_size": VOCABULARY, "architecture": "none"}  # fmt: skip
    with CorpusWriter(
        path, model=model, tokenizer={"source": "none"}, name="generated", ctx_len=CTX_LEN,
        vocabulary=[(piece.decode(), piece, index == 0) for index, piece in enumerate(pieces)],
    ) as writer:  # fmt: skip
        for start in range(0, n_contexts, 4096):
            shape = (min(4096, n_contexts - start), CTX_LEN)
            # The exponential of a uniform number follows Zipf's law: the commonest token makes up 7 %.
            rows = (VOCABULARY ** rng.random(shape, dtype=np.float32)).astype(np.uint16) % VOCABULARY
            rows[:, 0] = 0
            writer.append(rows)
        size = 20 * CTX_LEN
        documents = [(f"document {i}", i * size, size) for i in range(n_contexts * CTX_LEN // size)]
        return writer.finish(documents=documents)


class Firing:
    """Draws the k latents of each token: part by the token itself, part by a Zipf-like density."""

    def __init__(self, n_latents: int, k: int, vocab_size: int, rng: np.random.Generator):
        self.k = k
        n_live = n_latents - n_latents // 50
        live = rng.permutation(n_latents)[:n_live]
        weights = 1.0 / np.arange(20, n_live + 20) ** 0.8
        # A table of draws by weight: indexing it with random integers is a hundred times faster than `choice`.
        copies = np.maximum(np.rint(weights / weights.sum() * (1 << 21)), 1).astype(np.int64)
        self._by_density = np.repeat(live, copies).astype(np.uint32)
        self._by_token = live[rng.integers(0, n_live, size=(vocab_size, 8))].astype(np.uint32)
        self._scale = np.exp(rng.normal(0.0, 0.5, n_latents)).astype(np.float32)
        self._noise = np.exp(rng.normal(0.0, 0.6, 1 << 20)).astype(np.float32)

    def batch(
        self, ids: NDArray[np.integer], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.float32]]:
        """Latents, places in `ids` and values; a latent fires at most once per token."""
        n = len(ids)
        drawn = self._by_density[rng.integers(0, len(self._by_density), size=(n, self.k), dtype=np.int32)]
        own = self.k // 4
        drawn[:, :own] = self._by_token[ids][:, rng.permutation(8)[:own]] if own <= 8 else drawn[:, :own]
        drawn.sort(axis=1)
        new = np.ones(drawn.shape, dtype=bool)
        new[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
        where = np.flatnonzero(new)
        latent = drawn.ravel()[where]
        first = int(rng.integers(0, len(self._noise)))
        noise = np.take(self._noise, np.arange(first, first + len(latent)), mode="wrap")
        return latent, where // self.k, self._scale[latent] * noise


def make_coder(
    store: Store, name: str, *, n_latents: int, k: int, n_activations: int, rng: np.random.Generator
) -> CoderInfo:
    """One coder with about `n_activations` activations on `store`."""
    firing = Firing(n_latents, k, store.vocab_size, rng)
    flat = store.tokens.reshape(-1)
    with CoderWriter(
        store,
        name,
        kind="sae",
        hookpoint="layers.6.mlp",
        n_latents=n_latents,
        k=k,
        d_in=768,
        source="generated",
    ) as writer:
        for start in range(0, len(flat), TOKENS_PER_BATCH):
            if writer.n_activations >= n_activations:
                break
            latent, place, value = firing.batch(flat[start : start + TOKENS_PER_BATCH], rng)
            writer.append(latent, place + start, value)
        ids = rng.integers(0, store.vocab_size, size=(n_latents, 2, 10))
        values = -np.sort(-rng.gumbel(1.0, 0.4, size=(n_latents, 10)).astype(np.float32), axis=1)
        near = rng.integers(0, n_latents, size=(3, n_latents, 10))
        similar = -np.sort(-rng.random((n_latents, 10), dtype=np.float32), axis=1)
        return writer.finish(
            n_tokens=len(flat),
            logits=(ids[:, 0], values, ids[:, 1], -values),
            neighbours={
                "decoder": (near[0], similar), "encoder": (near[1], similar), "cofiring": (near[2], similar)
            },
            fidelity=Fidelity(fvu=0.3, l0=float(k), n_tokens=len(flat), ce_clean=2.7, ce_spliced=2.9, ce_zero=5.1),
        )  # fmt: skip


def annotate(annotations: Annotations, coder: str, latents: range, rng: np.random.Generator) -> None:
    """An explanation of twelve words and three scores for each of `latents`."""
    config: dict[str, object] = {}  # records that share one are written faster
    for start in range(0, len(latents), LATENTS_PER_WRITE):
        part = latents[start : start + LATENTS_PER_WRITE]
        words = np.array(WORDS)[rng.integers(0, len(WORDS), (len(part), 12))].tolist()
        values = rng.random((len(part), len(SCORERS))).tolist()
        floors = rng.normal(0.5, 0.05, (len(part), len(SCORERS))).tolist()
        records: list[Record] = []
        for place, latent in enumerate(part):
            text = " ".join(words[place])
            made = Explanation(coder=coder, latent=latent, text=text, explainer="pattern", config=config)
            records.append(made)
            for scorer, value, floor in zip(SCORERS, values[place], floors[place], strict=True):
                records.append(
                    Score(
                        explanation_id=made.id, scorer=scorer, judge="offline", value=value, ci_low=value - 0.1,
                        ci_high=value + 0.1, n_pos=30, n_neg=30, floor=floor, config=config,
                    )
                )  # fmt: skip
        annotations.add(*records)


def make_store(
    path: Path,
    *,
    n_activations: int,
    n_latents: int,
    k: int,
    seed: int = 0,
    n_coders: int = 1,
    text_of: Store | None = None,
    n_explained: int = 0,
) -> CoderInfo:
    """The whole store, with a coder called `generated`, and `generated-2` and so on of the same size where more are asked for;
    gives the last."""
    rng = np.random.default_rng(seed)
    # About one in ten draws repeats a latent of the same token.
    n_tokens = n_activations / (0.9 * k)
    if text_of is None:
        store = make_corpus(path, int(n_tokens / CTX_LEN) + 1, rng)
    else:
        store = repeat_corpus(path, int(n_tokens / text_of.ctx_len) + 1, text_of, rng)
    names = ["generated", *(f"generated-{number}" for number in range(2, n_coders + 1))]
    made = [
        make_coder(store, name, n_latents=n_latents, k=k, n_activations=n_activations, rng=rng)
        for name in names
    ]
    if n_explained:
        with Annotations(path) as annotations:
            annotate(annotations, names[0], range(n_explained), rng)
    return made[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("path", type=Path)
    parser.add_argument("--activations", type=int, default=100_000_000)
    parser.add_argument("--latents", type=int, default=32_768)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--coders", type=int, default=1)
    parser.add_argument("--explained", type=int, default=0, metavar="N", help="explain and score N latents")
    parser.add_argument("--text-of", type=Path, metavar="STORE", help="take the text from this store")
    args = parser.parse_args()
    begin = time.perf_counter()
    info = make_store(
        args.path, n_activations=args.activations, n_latents=args.latents, k=args.k, n_coders=args.coders,
        text_of=None if args.text_of is None else Store.open(args.text_of), n_explained=args.explained,
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    print(
        f"{info.n_activations:,} activations of {info.n_latents:,} latents ({info.n_dead:,} dead) over {info.n_tokens:,} "
        f"tokens in {seconds:.1f} s; {info.bytes_on_disk / info.n_activations:.2f} bytes per activation in the coder file"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
