"""Language models that follow a script, in place of a server."""

import json

import pytest

from autointerp.llm.costs import Budget, PriceTable
from autointerp.llm.messages import ChatRequest
from autointerp.llm.options import LLMOptions
from autointerp.pipeline.resources import Resources
from tests.mock_client import MockClient

LLM = LLMOptions(model="mock", base_url="http://mock.invalid/v1", max_in_flight=4)


def use(resources: Resources, monkeypatch: pytest.MonkeyPatch, script) -> list[MockClient]:
    """Every client that the resources makes follows `script`."""
    made: list[MockClient] = []

    def client(options: LLMOptions, *, budget: Budget | None = None) -> MockClient:
        prices = PriceTable.parse(options.prices)
        made.append(MockClient(script, cache=resources.replies, budget=budget, prices=prices))
        return made[-1]

    monkeypatch.setattr(resources, "client", client)
    return made


def obliging(request: ChatRequest) -> str:
    """Explains, or answers yes where the text holds a cat."""
    question = request.messages[-1].content
    if request.schema and "explanation" in json.dumps(request.schema):
        return json.dumps({"explanation": "The word cat."})
    texts = [line for line in question.splitlines() if line.startswith("[") and line[1].isdigit()]
    return json.dumps([int("cat" in text.split("]", 1)[1]) for text in texts])
