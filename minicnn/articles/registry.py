"""From a name to its article."""

from __future__ import annotations

from minicnn.errors import unknown_name

from .article import Article

_ARTICLES: dict[str, Article] = {}


def register(article: Article) -> Article:
    """Make an article known by its name; ValueError if the name is taken."""
    if article.name in _ARTICLES:
        raise ValueError(f"an article named {article.name!r} is registered already")
    _ARTICLES[article.name] = article
    return article


def names() -> list[str]:
    """The names of all articles, in the order of registration.

    >>> from minicnn import articles
    >>> articles.names()[:3]
    ['eastmount', 'eastmount-as-run', 'khuyen']
    """
    return list(_ARTICLES)


def get(name: str) -> Article:
    """The article of that name; ValueError suggests the nearest names.

    >>> from minicnn import articles
    >>> articles.get("khuyen").parameters
    484714
    """
    if name not in _ARTICLES:
        raise ValueError(unknown_name("article", name, names()))
    return _ARTICLES[name]
