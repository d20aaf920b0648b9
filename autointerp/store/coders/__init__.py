"""One file a sparse coder: its writer, its reader, its statistics."""
