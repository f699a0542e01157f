"""Label spaces, datasets, augmentation and sampling; no Lightning."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing it would ask an index
