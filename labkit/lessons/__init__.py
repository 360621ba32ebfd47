"""The predictions and exercises of each notebook, which imports its own as ``lesson``."""
