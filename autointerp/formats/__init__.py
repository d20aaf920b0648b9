"""Other tools' files, in and out: a registry of formats, a module or folder for each. docs/formats.md says what each holds."""
