"""The text of a store: token ids, vocabulary, documents, search."""
