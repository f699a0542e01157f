"""Build objects from a composed configuration."""
