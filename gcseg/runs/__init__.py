"""A run on disk: its name, folder, lock and results, and reading it back."""
