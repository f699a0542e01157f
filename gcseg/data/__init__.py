"""Label spaces, datasets, augmentation and sampling; no Lightning."""
