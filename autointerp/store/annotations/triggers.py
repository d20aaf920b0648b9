"""Rows that are never changed."""


def immutable(table: str, key: str, on_duplicate: str = "ABORT, ") -> str:
    """Triggers that make rows of `table` unchangeable. The third is for INSERT OR REPLACE, which deletes silently."""
    message = f"'rows of {table} are never changed: add a new version'"
    duplicate = "IGNORE" if on_duplicate == "IGNORE" else f"ABORT, {message}"
    return f"""
CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, {message}); END;
CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, {message}); END;
CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {key})
    BEGIN SELECT RAISE({duplicate}); END;
"""
