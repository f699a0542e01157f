"""Everything that knows Hydra: compose settings, check them, say errors in one line."""
