"""The commands: each composes its configuration, calls what does the work, and prints."""
