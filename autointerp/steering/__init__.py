"""Steering: continuing a prompt with latents of a coder raised, or held at zero, beside the model as it is."""

from autointerp.steering.options import SteeringOptions
from autointerp.steering.result import Continuation, NextToken, Steered, SteeringResult

__all__ = ["Continuation", "NextToken", "Steered", "SteeringOptions", "SteeringResult"]
