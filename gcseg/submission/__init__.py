"""Archives for the test servers of public datasets."""
