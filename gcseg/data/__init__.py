"""Label spaces, datasets, augmentation and sampling; no Lightning."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing it would ask an index
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what it can't read is said in our words
