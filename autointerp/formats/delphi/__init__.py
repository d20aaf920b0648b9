"""EleutherAI's delphi: its activation caches, explanations and scores."""
