"""Files, downloads, processes, signals and text: nothing about segmentation."""
