# pyright: reportMissingImports=false
"""Makes `delphi.zip` beside it with delphi itself: `run/`, with a cache, explanations and scores, and `expected.json`, what
delphi reads from them.

    pip install --no-deps eai-delphi==0.1.3 orjson lxml tiktoken simple_parsing docstring-parser jaxtyping beartype \\
        wadler-lindig aiofiles asyncer blobfile
    python tests/formats/golden/delphi/make.py

beside this project's own packages. vLLM and FAISS, which delphi imports and this needs not, are replaced by empty modules. The
text is the project's own; which token activates which latent, what the explainer says and what the judge answers are drawn.
"""

import asyncio
import hashlib
import json
import random
import sys
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock
from zipfile import ZIP_DEFLATED, ZipFile

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
VLLM = ("vllm", "vllm.distributed", "vllm.distributed.parallel_state", "vllm.inputs", "vllm.sampling_params")
for name in (*VLLM, "faiss", "bitsandbytes", "httpx"):
    module = ModuleType(name)
    module.__getattr__ = lambda name: MagicMock()  # type: ignore[method-assign]
    module.__path__ = []  # type: ignore[attr-defined]
    module.__spec__ = MagicMock()
    sys.modules[name] = module

import numpy as np  # noqa: E402
import orjson  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from delphi.clients.client import Client, Response  # noqa: E402
from delphi.config import CacheConfig, ConstructorConfig, RunConfig, SamplerConfig  # noqa: E402
from delphi.explainers import DefaultExplainer  # noqa: E402
from delphi.latents.cache import LatentCache  # noqa: E402
from delphi.latents.loader import LatentDataset  # noqa: E402
from delphi.log.result_analysis import (  # noqa: E402
    compute_auc,
    compute_classification_metrics,
    compute_confusion,
)
from delphi.scorers.classifier.detection import DetectionScorer  # noqa: E402
from delphi.scorers.classifier.fuzz import FuzzingScorer  # noqa: E402
from delphi.scorers.embedding.embedding import EmbeddingScorer  # noqa: E402
from delphi.scorers.simulator.simulation.oai_simulator import RefactoredOpenAISimulator  # noqa: E402
from delphi.scorers.surprisal.surprisal import SurprisalScorer  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

OUT = Path(mkdtemp())
RUN = OUT / "run"
HOOKPOINTS = ("layers.0.mlp", "layers.1")
CTX_LEN, WINDOW, ROWS, WIDTH, SPLITS = 32, 16, 112, 11, 2
CONSTRUCTOR = ConstructorConfig(example_ctx_len=WINDOW, min_examples=40, n_non_activating=20)
SAMPLER = SamplerConfig(n_examples_train=10, n_examples_test=20)


def tokens(tokenizer: Any) -> torch.Tensor:
    """Int64[Tensor, "rows ctx_len"]: the project's own documents."""
    text = "\n".join(
        (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("audits", "models")
    )
    ids = [token for token in tokenizer.encode(text) if token != tokenizer.bos_token_id]
    return torch.tensor(ids[: ROWS * CTX_LEN]).reshape(ROWS, CTX_LEN)


def activations(rng: np.random.Generator) -> torch.Tensor:
    """Float32[Tensor, "rows ctx_len latents"], of few zeros; latent 3 has equal maxima, 8 is nearly silent, 10 silent."""
    x = np.zeros((ROWS, CTX_LEN, WIDTH), np.float32)
    for latent in range(WIDTH - 1):
        n = 12 if latent == 8 else int(rng.integers(100, 400))
        where = rng.choice(ROWS * CTX_LEN, size=n, replace=False)
        values = np.unique(np.exp(rng.normal(0, 1, 4 * n)).astype(np.float16))
        values = rng.permutation(values)[:n].astype(np.float32)
        if latent == 3:
            values = np.ceil(values)
        x.reshape(-1, WIDTH)[where[: len(values)], latent] = values
    return torch.from_numpy(x)


def write_cache(x: dict[str, torch.Tensor], text: torch.Tensor) -> None:
    cache = LatentCache(None, {}, batch_size=8)  # type: ignore[arg-type]
    for hookpoint, acts in x.items():
        for i in range(0, ROWS, 8):
            cache.cache.add(acts[i : i + 8], text[i : i + 8].int(), i // 8, hookpoint)
    cache.width = WIDTH
    cache.cache.save()
    config = CacheConfig(
        dataset_repo="some/text",
        batch_size=8,
        cache_ctx_len=CTX_LEN,
        n_tokens=ROWS * CTX_LEN,
        n_splits=SPLITS,
    )
    cache.save_splits(SPLITS, RUN / "latents")
    cache.save_config(RUN / "latents", config, "some/model")
    RunConfig(
        cache_cfg=config, constructor_cfg=CONSTRUCTOR, sampler_cfg=SAMPLER, model="some/model", sparse_model="some/sae",
        hookpoints=list(HOOKPOINTS), explainer_model="some/judge",
    ).save_json(RUN / "run_config.json", indent=4)  # fmt: skip


class Drawn(Client):
    """Answers at random, and sometimes not as asked."""

    def __init__(self, rng: random.Random):
        super().__init__("drawn")
        self.rng = rng

    async def generate(self, prompt: Any, **kwargs: Any) -> Response:
        asked = prompt[-1]["content"] if isinstance(prompt, list) else prompt
        if "Example 0" in asked or "Example 1" in asked or "Text examples" in asked:
            if self.rng.random() < 0.2:
                return Response("I cannot say.")
            return Response(str([int(self.rng.random() < 0.6) for _ in range(5)]))
        if self.rng.random() < 0.2:
            return Response("No tag in this answer.")
        return Response(
            f'[EXPLANATION]: Words like "{self.rng.choice(["the", "é", "a/b"])}" {self.rng.random():.3f}'
        )


class Encoder:
    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def encode(self, texts: Any) -> Any:
        return torch.from_numpy(self.rng.normal(size=(1 if isinstance(texts, str) else len(texts), 4)))

    def similarity(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1)


class Surprisal(SurprisalScorer):
    """Losses are drawn, everything else is delphi's."""

    def _query(self, explanation: str, samples: list) -> list:
        rng = np.random.default_rng(len(explanation))
        for sample in samples:
            sample.data.no_explanation = rng.uniform(1, 4, WINDOW - 1).round(3).tolist()
            sample.data.explanation = rng.uniform(1, 4, WINDOW - 1).round(3).tolist()
            sample.data.activations = sample.activations
        return [sample.data for sample in samples]


class Tokenizer:
    """`batch_decode` decodes each id by itself, as with the transformers that delphi was written for (before 5)."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer

    def batch_decode(self, ids: Any) -> list[str]:
        return [self.tokenizer.decode([int(token)]) for token in ids]


class Simulator:
    def __init__(self, *_: Any, **__: Any):
        self.rng = np.random.default_rng(7)

    async def simulate(self, words: list[str]) -> list[float]:
        return self.rng.uniform(0, 10, len(words)).round(3).tolist()


def window(example: Any) -> dict[str, Any]:
    return {
        "tokens": example.tokens.tolist(),
        "activations": example.activations.tolist(),
        "normalised": example.normalized_activations.tolist(),
        "quantile": example.quantile,
    }


def described(record: Any) -> dict[str, Any]:
    """What delphi makes of one latent. `windows`: all, strongest first, as a hash; ties make their order delphi's own."""
    digest = hashlib.sha256()
    for example in record.examples:
        digest.update(
            example.tokens.numpy().astype("<i8").tobytes()
            + example.activations.numpy().astype("<f2").tobytes()
        )
    return {
        "max": float(record.max_activation),
        "maxima": [float(example.activations.max()) for example in record.examples],
        "windows": digest.hexdigest(),
        "train": [window(example) for example in record.train],
        "test": [window(example) for example in record.test],
        "negatives": [example.tokens.tolist() for example in record.not_active],
    }


def metrics(rows: list[Any]) -> dict[str, Any]:
    """delphi's own figures of one latent's answers."""
    frame = pd.DataFrame([vars(row) for row in rows])
    confusion = compute_confusion(frame)
    figures = {**confusion, **compute_classification_metrics(confusion)}
    return {name: float(value) for name, value in figures.items()} | {"auc": compute_auc(frame)}


async def main() -> None:
    torch.manual_seed(0)
    random.seed(0)
    plain = AutoTokenizer.from_pretrained(ROOT / "data" / "demo" / "model")
    tokenizer: Any = Tokenizer(plain)
    rng = np.random.default_rng(3)
    text = tokens(plain)
    write_cache({hookpoint: activations(rng) for hookpoint in HOOKPOINTS}, text)
    expected: dict[str, Any] = {}
    client = Drawn(random.Random(1))
    scorers: dict[str, Any] = {
        "detection": DetectionScorer(client, n_examples_shown=5),
        "fuzz": FuzzingScorer(client, n_examples_shown=5),
        "embedding": EmbeddingScorer(Encoder(np.random.default_rng(2))),
        "surprisal": Surprisal(None, False, 2),
        "simulation": RefactoredOpenAISimulator(None, tokenizer),
    }
    for name in scorers:
        (RUN / "scores" / name).mkdir(parents=True)
    (RUN / "explanations").mkdir()
    dataset = LatentDataset(RUN / "latents", SAMPLER, CONSTRUCTOR, tokenizer, modules=list(HOOKPOINTS))
    async for record in dataset:
        latent = str(record.latent)
        hookpoint = record.latent.module_name
        expected.setdefault(hookpoint, {})[record.latent.latent_index] = about = described(record)
        if hookpoint != HOOKPOINTS[0] or record.latent.latent_index > 4:
            continue
        explained = await DefaultExplainer(client, threshold=0.3)(record)
        (RUN / "explanations" / f"{latent}.txt").write_bytes(orjson.dumps(explained.explanation))
        record.explanation, record.extra_examples = explained.explanation, record.not_active
        about["figures"] = {}
        for name, scorer in scorers.items():
            if name in ("embedding", "surprisal", "simulation") and record.latent.latent_index != 1:
                continue
            result = await scorer(record)
            (RUN / "scores" / name / f"{latent.replace('/', '--')}.txt").write_bytes(
                orjson.dumps(result.score)
            )
            if name in ("detection", "fuzz"):
                about["figures"][name] = metrics(result.score)
    (OUT / "expected.json").write_text(json.dumps(expected, separators=(",", ":")), encoding="utf-8")
    with ZipFile(HERE / "delphi.zip", "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(OUT.rglob("*.*")):
            archive.write(path, path.relative_to(OUT))


if __name__ == "__main__":
    import delphi.scorers.simulator.simulation.oai_simulator as wrapped

    wrapped.NeuronSimulator = Simulator  # type: ignore[misc, assignment]
    asyncio.run(main())
