"""Batches for a training: of folders, tables, arrays; changed at random, made ahead by threads."""
