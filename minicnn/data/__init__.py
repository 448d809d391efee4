"""What a network eats: data sets, pictures, labels.

Re-exported as `minicnn.datasets` and `minicnn.preprocessing`.
"""
