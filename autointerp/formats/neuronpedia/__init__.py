"""Neuronpedia's public export: dashboards and explanations of a source as JSON lines."""
