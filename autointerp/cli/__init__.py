"""The command line: one thin file per command over the library. Importing it must stay cheap (`--help` in half a second)."""
