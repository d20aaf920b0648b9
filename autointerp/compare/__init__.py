"""Comparing coders of one store: how interpretable they are and at what cost, which latents of one are in another, and how
alike their explanations are. The page, the command line and the library use one computation for each."""
