"""Pages and plots of a data set."""
