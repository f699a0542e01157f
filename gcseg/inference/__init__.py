"""From an image or a batch to scores: whole, sliding, augmented, in strips."""
