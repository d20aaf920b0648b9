"""What a forward pass is given where rows hold padding, so that it is no text to the model either.

A causal model never looks at padding that comes after the text. Before the text, or for an encoder, padding has to be hidden
from attention, and must not count as a position. How a model is told so differs; it is found by trying.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from autointerp.errors import CorpusError

Hiding = Literal["none needed", "mask", "mask and positions", "only after text", "impossible"]
N_TOKENS, BEFORE, AFTER = 6, 2, 1
CLOSE = 1e-2
"""Of the size of the text's hidden states, how much padding may change them (half precision rounds)."""


def model_inputs(ids: Tensor, padding: int, hiding: Hiding) -> dict[str, Tensor]:
    """Arguments of a forward pass over `ids` Int64[Tensor, "batch ctx_len"], some of which are `padding`."""
    text = ids != padding
    inputs = {"input_ids": ids}
    if hiding in ("mask", "mask and positions"):
        inputs["attention_mask"] = text.long()
    if hiding == "mask and positions":
        inputs["position_ids"] = (text.long().cumsum(1) - 1).clamp(min=0)
    return inputs


def check_padding(ids: Tensor, padding: int, hiding: Hiding, name: str) -> None:
    """CorpusError for rows whose padding the model cannot be kept from reading as text."""
    text = ids != padding
    before_text = bool((~text & (text.long().flip(1).cumsum(1).flip(1) > 0)).any())
    if hiding == "impossible" or (hiding == "only after text" and before_text):
        where = "in a row" if hiding == "impossible" else "before the text of a row"
        raise CorpusError(
            f"{name} reads padding (id {padding}) {where} as text, which changes the activations of the text itself. Leave the "
            "padding out of the token ids" + ("." if hiding == "impossible" else ", or put it at the end.")
        )


@torch.inference_mode()
def find_hiding(base: nn.Module, padding: int, vocab_size: int, max_ctx_len: int | None) -> Hiding:
    """The simplest way in which a short text, padded on both sides, gives `base` the hidden states of the text alone."""
    n = min(N_TOKENS, (max_ctx_len or N_TOKENS + BEFORE + AFTER) - BEFORE - AFTER)
    if n < 1:
        return "only after text"
    device = next(base.parameters()).device
    text = torch.tensor([[token for token in range(vocab_size) if token != padding][-n:]], device=device)
    alone = _hidden(base, {"input_ids": text})
    size = float(alone.norm())

    def same(before: int, after: int, hiding: Hiding) -> bool:
        padded = nn.functional.pad(text, (before, after), value=padding)
        try:
            hidden = _hidden(base, model_inputs(padded, padding, hiding))[:, before : before + n]
        except (
            TypeError,
            ValueError,
            RuntimeError,
            IndexError,
        ):  # it takes no such argument, or not of this shape
            return False
        return float((hidden - alone).norm()) <= CLOSE * size

    ways: tuple[Hiding, ...] = ("none needed", "mask", "mask and positions")
    for hiding in ways:
        if same(BEFORE, AFTER, hiding):
            return hiding
    return "only after text" if same(0, AFTER, "none needed") else "impossible"


def _hidden(base: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    return base(**inputs)[0].float()
