"""The commands of the command line, one a file; loaded only when they run."""
