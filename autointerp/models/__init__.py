"""Subject models, what to read in them (`hooks`), and the sparse coders that read it (`coders`). Importing the package alone
imports no torch."""
