"""What language models are asked. Each module holds one prompt with its version; a changed prompt gets a new version."""
