"""Talking to language models over any OpenAI-compatible server, without ever losing a paid answer or showing a key."""
