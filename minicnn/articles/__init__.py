"""The articles' networks by name, with their recipes and the figures they reported.

>>> from minicnn import articles
>>> article = articles.get("lenet5")
>>> article.build().count_params()
61706
"""

from __future__ import annotations

from . import alexnet, besbes, digits, eastmount, fashion, khuyen, lenet, lessons, ours, strika, transfer
from .article import Article, Figure, Recipe
from .pattern import pattern
from .registry import get, names, register

__all__ = ["Article", "Figure", "Recipe", "get", "names", "pattern", "register"]

for _article in (
    *eastmount.ARTICLES,
    khuyen.ARTICLE,
    lenet.ARTICLE,
    digits.DENSE,
    *fashion.ARTICLES,
    *strika.ARTICLES,
    besbes.ARTICLE,
    *transfer.ARTICLES,
    *ours.ARTICLES,
    alexnet.ARTICLE,
    *lessons.ARTICLES,
):
    register(_article)

# The modules serve the registry; `articles.<module>` is no name to rely on.
del alexnet, besbes, digits, eastmount, fashion, khuyen, lenet, lessons, ours, strika, transfer, _article
