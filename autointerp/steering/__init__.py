"""Steering: continuing a prompt with latents of a coder raised, or held at zero, beside the model as it is."""

from autointerp.steering.options import SteeringOptions
from autointerp.steering.result import (
    Continuation,
    DirectEffect,
    DirectLogit,
    NextToken,
    Steered,
    SteeringResult,
)

__all__ = [
    "Continuation",
    "DirectEffect",
    "DirectLogit",
    "NextToken",
    "Steered",
    "SteeringOptions",
    "SteeringResult",
]
