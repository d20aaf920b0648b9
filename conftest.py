"""Loaded before every other conftest: the network guard must stand before a library reads the environment."""

pytest_plugins = ["tests.netguard"]
