"""Commands, each of which composes its configuration, calls the code for it, and prints."""
