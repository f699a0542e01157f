"""Everything that uses Hydra: compose settings, check them, print errors in one line."""
