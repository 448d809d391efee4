"""The articles by name: their parameter counts, recipes and figures."""

from __future__ import annotations

import dataclasses

import pytest

from minicnn import articles

PARAMETERS = {"eastmount": 3_274_634, "khuyen": 484_714, "lenet5": 61_706, "fashion-conv1x3": 39_230}


@pytest.fixture(params=articles.names())
def article(request):
    return articles.get(request.param)


def test_all_are_registered():
    assert set(PARAMETERS) <= set(articles.names())


def test_parameter_counts_are_the_articles(article):
    model = article.build()
    assert model.count_params() == article.parameters == PARAMETERS.get(article.name, article.parameters)


def test_summary_says_the_parameter_count(article):
    lines: list[str] = []
    article.build().summary(print_fn=lines.append)
    assert f"{article.parameters:,}" in "\n".join(map(str, lines))


def test_counting_draws_no_weights(article):
    model = article.build()
    model.count_params()
    assert not any(weight.materialised for weight in model.weights)


def test_there_is_an_output_for_each_class(article):
    assert article.build().output_shape == (None, len(article.classes))


def test_recipes_compile(article):
    for recipe in article.recipes.values():
        model = article.build()
        model.compile(optimizer=recipe.optimizer(), loss=recipe.loss, metrics=list(recipe.metrics))
        assert recipe.batch_size > 0
        assert recipe.epochs > 0
        assert 0 <= recipe.validation_split < 1


def test_each_recipe_makes_a_fresh_optimizer(article):
    recipe = article.recipe()
    assert recipe.optimizer() is not recipe.optimizer()


@pytest.mark.parametrize(
    ("name", "recipe", "optimizer", "learning_rate", "batch_size"),
    [
        ("eastmount", None, "Adam", 1e-4, 64),
        ("khuyen", None, "SGD", 0.01, 128),
        ("khuyen", "reported", "SGD", 0.01, 128),
        ("khuyen", "adam", "Adam", 1e-3, 128),
        ("lenet5", None, "Adam", 1e-3, 64),
        ("fashion-conv1x3", None, "Adam", 1e-3, 128),
    ],
)
def test_recipes_say_what_the_articles_say(name, recipe, optimizer, learning_rate, batch_size):
    chosen = articles.get(name).recipe(recipe)
    made = chosen.optimizer()
    assert type(made).__name__ == optimizer
    assert made.learning_rate == pytest.approx(learning_rate)
    assert chosen.batch_size == batch_size


def test_fashion_holds_a_tenth_out():
    assert articles.get("fashion-conv1x3").recipe().validation_split == 0.1


def test_the_figure_of_the_nearest_number_of_epochs():
    article = articles.get("eastmount")
    assert article.figure("test accuracy", 1).value == 0.9265
    assert article.figure("test accuracy", 2).value == 0.9559
    assert article.figure("test accuracy", 50).value == 0.975
    assert article.figure("test speed", 1) is None


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"unknown article 'eastmuont'; did you mean 'eastmount'\?"):
        articles.get("eastmuont")


def test_an_unknown_recipe_names_those_there_are():
    with pytest.raises(ValueError, match=r"khuyen: unknown recipe 'sgd'; expected one of: adam, reported"):
        articles.get("khuyen").recipe("sgd")


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match=r"an article named 'khuyen' is registered already"):
        articles.register(dataclasses.replace(articles.get("lenet5"), name="khuyen"))
