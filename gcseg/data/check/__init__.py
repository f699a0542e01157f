"""What is wrong with a data set, or odd."""
