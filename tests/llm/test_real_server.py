"""Against a server that is not ours: `transformers serve`, started here on a tiny random model made here."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.llm.cancel import CancelToken
from autointerp.llm.check import check_endpoint
from autointerp.llm.client import Client
from autointerp.llm.errors import BadAnswer, Cancelled, UnknownModel
from autointerp.llm.messages import Answer, ChatRequest, Question
from autointerp.llm.parsing import list_answer, list_schema
from tests.mock_client import MemoryCache

from .conftest import until

START = "import sys; from transformers.cli.transformers import main; sys.exit(main())"


def make_model(folder: Path) -> None:
    """A random Llama of 2 layers with a byte-level tokenizer trained on a line, and a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["which of the words are colours: red, table, green"] * 10, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Base URL and model name of the running server."""
    folder = tmp_path_factory.mktemp("served")
    make_model(folder / "tiny")
    (folder / "hub").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["serve", str(folder / "tiny"), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    log = folder / "log.txt"
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(folder / "hub"),
        "OMP_NUM_THREADS": "1",
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", START, *options], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: process.poll() is not None or healthy(f"http://127.0.0.1:{port}/health"), 180)
        assert process.poll() is None, log.read_text()[-3000:]
        yield f"http://127.0.0.1:{port}/v1", str(folder / "tiny")
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def test_the_client_speaks_with_a_server_that_is_not_ours(served: tuple[str, str]) -> None:
    url, model = served
    cache = MemoryCache()
    with Client(model, base_url=url, max_in_flight=4, cache=cache) as client:
        # This server rejects one optional field by name and ignores two others: all three end as "not given".
        request = ChatRequest.of(
            "red, table?",
            system="colours",
            schema=list_schema(2),
            seed=1,
            max_tokens=4,
            top_logprobs=3,
            prompt_logprobs=2,
            allow_truncated=True,
        )
        reply = client.complete(request)
        assert reply.text
        assert reply.truncated
        assert 0 < reply.usage.prompt_tokens < 100
        assert reply.usage.completion_tokens == 4
        assert reply.usage.cost is None
        assert (reply.logprobs, reply.prompt_logprobs, reply.dropped) == (None, None, ("prompt_logprobs",))
        sent = client.stats.sent
        assert sent == 2
        assert client.complete(request).cached
        assert client.stats.sent == sent

        # A random model gives no list: one re-ask, then a recorded failure with both replies and what they cost.
        with pytest.raises(BadAnswer) as caught:
            client.ask(ChatRequest.of("red?", max_tokens=4, allow_truncated=True), list_answer(2))
        assert len(caught.value.texts) == 2
        assert caught.value.usage is not None
        assert caught.value.usage.completion_tokens == 4 + 8  # cut, so the re-ask had twice the room

        questions = [
            Question(
                ChatRequest.of(f"word {i}", max_tokens=2, allow_truncated=True), lambda reply: reply.text
            )
            for i in range(8)
        ]
        outcomes = list(client.ask_many(questions))
        assert all(isinstance(answer, Answer) and answer.value for _, answer in outcomes)

        token = CancelToken()
        endless = client.submit(ChatRequest.of("go on", max_tokens=900), cancel=token)
        until(lambda: client.limit.in_flight == 1)
        token.cancel()
        with pytest.raises(Cancelled):
            endless.result(60)


def test_its_test_button_and_its_unknown_models(served: tuple[str, str]) -> None:
    url, model = served
    with Client(model, base_url=url) as client:
        result = check_endpoint(client)
        assert result.reply.text
        assert not result.value
        assert result.reply.logprobs is None
    with Client("somebody/else", base_url=url) as client, pytest.raises(UnknownModel, match="somebody/else"):
        client.complete(ChatRequest.of("hi", max_tokens=1))
