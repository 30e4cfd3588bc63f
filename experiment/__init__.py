"""One run: the command line, its configuration and validation, the run folder, training and evaluation."""
