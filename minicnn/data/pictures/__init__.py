"""Pictures from files and archives: found, opened within bounds, brought to a size, made a network's input."""
