"""Published checkpoints and scores."""
