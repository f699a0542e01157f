"""Pages and plots of a dataset."""
