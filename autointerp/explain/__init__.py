"""Explanations of latents from examples: by a language model, or by statistics alone.

    LLMExplainer       `default`, `contrastive`, `top_logits`: asks a language model
    PatternExplainer   `pattern`: no model, milliseconds

Pure: evidence in, `Explanation` out; the caller draws the examples and stores what comes. A failure is a record with its cause.
"""
