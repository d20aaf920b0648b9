"""Explanations of latents from examples: by a language model, or by statistics alone.

    LLMExplainer       `default`, `contrastive`, `top_logits`: asks a language model
    PatternExplainer   `pattern`: no model, milliseconds

Pure: evidence in, result out; the caller draws the examples and stores the result. A failure is a result with its cause.
"""

from autointerp.explain.explainer import Explainer
from autointerp.explain.llm import AsksOne, LLMExplainer
from autointerp.explain.pattern import PatternExplainer
from autointerp.explain.results import Evidence, ExplanationResult

__all__ = ["AsksOne", "Evidence", "Explainer", "ExplanationResult", "LLMExplainer", "PatternExplainer"]
