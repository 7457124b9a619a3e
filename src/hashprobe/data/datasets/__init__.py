"""One data set, one file."""
