"""One experiment a file, found by its name: a docstring whose first line says what it is about, and EXPERIMENT."""
