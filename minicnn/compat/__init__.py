"""Other libraries' names, answered by minicnn."""
