"""The articles' networks by name, with their recipes and the figures they reported.

>>> from minicnn import articles
>>> article = articles.get("lenet5")
>>> article.build().count_params()
61706
"""

from __future__ import annotations

from . import eastmount, fashion, khuyen, lenet
from .article import Article, Figure, Recipe
from .registry import get, names, register

__all__ = ["Article", "Figure", "Recipe", "get", "names", "register"]

for _article in (eastmount.ARTICLE, khuyen.ARTICLE, lenet.ARTICLE, fashion.ARTICLE):
    register(_article)

# The modules serve the registry; `articles.<module>` is no name to rely on.
del eastmount, fashion, khuyen, lenet, _article
