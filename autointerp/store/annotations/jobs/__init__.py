"""The job tables."""
