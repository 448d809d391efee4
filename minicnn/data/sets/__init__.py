"""Data sets by name: where they are, how they are fetched, how they are divided."""
