"""The cases of the golden files, one module a format."""
