"""The articles by name: their parameter counts, recipes and figures."""

from __future__ import annotations

import dataclasses
import math
from inspect import signature

import numpy as np
import pytest

from minicnn import articles
from minicnn.applications import SqueezeNet
from minicnn.compat.keras.versions import rules_of
from minicnn.preprocessing.image import load_img

# Counted by hand from the articles' layers.
PARAMETERS = {
    "strika-dense": 18_049_025,
    "strika-conv24": 8_637_473,
    "strika-conv48": 7_928_177,
    "strika-conv128": 21_123_457,
    "strika-final": 42_151_297,
    "fashion-conv1x3": 39_230,
    "fashion-depth-max": 9_770,
    "fashion-conv3x3": 39_260,
    "fashion-10": 78_510,
    "fashion-10-pool": 19_710,
    "fashion-10-20": 158_730,
    "fashion-10-20-pool": 41_130,
    "fashion-10-pool-20-pool": 11_730,
    "fashion-10-20-30": 242_560,
    "fashion-10-20-30-pool": 66_160,
    "fashion-10-pool-20-30-pool": 22_060,
    "fashion-10-20-30-depth-max": 15_200,
    "fashion-softmax": 7_850,
    "fashion-dense": 104_938,
    "eastmount": 3_274_634,
    "eastmount-as-run": 543_722,
    "eastmount-pyramid": 3_058_186,
    "khuyen": 484_714,
    "mnist-dense": 101_770,
    "besbes": 1_355_938,
    "besbes-vgg16": 4_326_401,
    "besbes-squeezenet": 4_326_401,
    "squeezenet-depths": 12_041,
    "ours-mnist": 290_474,
    "ours-fashion": 290_474,
    "ours-pets": 662_049,
    "besbes-dense-count": 196_608_000,
    "besbes-progress": 538_890,
    "lenet5": 61_706,
    "alexnet": 60_965_224,
}


@pytest.fixture(params=articles.names())
def article(request):
    return articles.get(request.param)


def test_all_are_registered():
    assert set(PARAMETERS) <= set(articles.names())


def test_parameter_counts_are_the_articles(article):
    model = article.build()
    assert model.count_params() == article.parameters == PARAMETERS[article.name]


def test_summary_says_the_parameter_count(article):
    lines: list[str] = []
    article.build().summary(print_fn=lines.append)
    assert f"{article.parameters:,}" in "\n".join(map(str, lines))


def test_counting_draws_no_weights(article):
    model = article.build()
    model.count_params()
    assert not any(weight.materialised for weight in model.weights)


def test_there_is_an_output_for_each_class_or_one_for_the_positive_class(article):
    if article.dataset is None:
        pytest.skip("nothing is classified")
    outputs = article.build().output_shape[-1]
    assert outputs == len(article.classes) or (outputs == 1 and article.positive_class)


def test_of_two_classes_the_second_is_the_positive_one(article):
    assert article.positive_class == (article.classes[1] if len(article.classes) == 2 else None)


def test_every_data_set_has_a_plain_dense_baseline():
    for data in ("mnist", "fashion-mnist", "dogs-vs-cats"):
        baselines = [a for a in map(articles.get, articles.names()) if a.dataset == data and a.name.endswith("-dense")]
        assert baselines
        for article in baselines:
            kinds = {type(layer).__name__ for layer in article.build().layers}
            assert kinds <= {"InputLayer", "Flatten", "Dense"}


def test_what_is_only_looked_at_says_so():
    with pytest.raises(ValueError, match="besbes-dense-count is there to be looked at, not to be trained"):
        articles.get("besbes-dense-count").recipe()


def test_an_ungrouped_alexnet():
    assert articles.get("alexnet").build(groups=1).count_params() == 62_378_344


def test_the_pattern():
    names = [type(layer).__name__ for layer in articles.pattern(2, 2, 1).layers]
    stage = ["Conv2D", "Conv2D", "MaxPooling2D"]
    assert names == [*stage, *stage, "Flatten", "Dense", "Dense"]
    assert articles.pattern(1, 0, 0, classes=3).output_shape == (None, 3)
    assert articles.pattern(1, 2, 0, input_shape=(9, 8, 3)).layers[-2].input_shape == (None, 2, 2, 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 1), "n must be at least 1, got 0"),
        ((1, -1, 1), "m must be at least 0, got -1"),
        ((1, 1, -2), "k must be at least 0, got -2"),
        ((1, 5, 0), r"m = 5 poolings halve a side 5 times, but input_shape is \(28, 28, 1\)"),
    ],
)
def test_the_pattern_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        articles.pattern(*arguments)


def test_recipes_compile(article):
    for recipe in article.recipes.values():
        model = article.build()
        model.compile(
            optimizer=recipe.optimizer(),
            loss=recipe.loss,
            metrics=list(recipe.metrics),
            clip_probabilities=recipe.clip_probabilities,
        )
        assert recipe.batch_size > 0
        assert recipe.epochs > 0
        assert 0 <= recipe.validation_split < 1


def test_each_recipe_makes_a_fresh_optimizer(article):
    for recipe in article.recipes.values():
        assert recipe.optimizer() is not recipe.optimizer()


@pytest.mark.parametrize(
    ("name", "recipe", "optimizer", "learning_rate", "batch_size"),
    [
        ("eastmount", None, "Adam", 1e-4, 64),
        ("khuyen", None, "SGD", 0.01, 128),
        ("khuyen", "reported", "SGD", 0.01, 128),
        ("khuyen", "adam", "Adam", 1e-3, 128),
        ("fashion-conv1x3", None, "Adam", 1e-3, 128),
        ("fashion-softmax", None, "Adam", 1e-3, 128),
        ("strika-dense", None, "Adam", 1e-3, 32),
        ("strika-conv24", None, "Adam", 1e-6, 32),
        ("strika-conv128", None, "Adam", 1e-6, 64),
        ("besbes", None, "SGD", 0.01, 32),
        ("besbes-progress", None, "Adam", 1e-3, 32),
        ("besbes-vgg16", None, "RMSprop", 1e-3, 32),
        ("besbes-squeezenet", None, "RMSprop", 1e-3, 32),
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


@pytest.mark.parametrize(("recipe", "version"), [("reported", "2.0.8"), ("keras2.3", "2.3")])
def test_besbes_recipes_are_his_script_by_the_rules_of_two_versions(recipe, version):
    chosen, rules = articles.get("besbes").recipe(recipe), rules_of(version)
    assert chosen.patience == 2 + rules.patience_offset
    assert chosen.augmentation == {
        "shear_range": pytest.approx(math.degrees(0.2) if rules.shear_in_radians else 0.2),
        "zoom_range": 0.2, "horizontal_flip": True, "interpolation_order": rules.interpolation_order,
    }  # fmt: skip
    assert chosen.interpolation == signature(load_img).parameters["interpolation"].default == "nearest"


def test_the_figure_of_the_nearest_number_of_epochs():
    article = articles.get("eastmount")
    assert article.figure("test accuracy", 1).value == 0.9265
    assert article.figure("test accuracy", 2).value == 0.9559
    assert article.figure("test accuracy", 50).value == 0.975
    assert article.figure("test speed", 1) is None


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"unknown article 'eastmuont'; did you mean 'eastmount' or"):
        articles.get("eastmuont")


def test_an_unknown_recipe_names_those_there_are():
    with pytest.raises(ValueError, match=r"khuyen: unknown recipe 'sgd'; expected one of: adam, corrected, reported"):
        articles.get("khuyen").recipe("sgd")


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match=r"an article named 'khuyen' is registered already"):
        articles.register(dataclasses.replace(articles.get("lenet5"), name="khuyen"))


def test_features_fit_the_networks_that_are_trained_on_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path))
    drawn = {weight.name.replace("_", "/"): weight.numpy() for weight in SqueezeNet(weights=None).weights}
    np.savez(tmp_path / "squeezenet_v1.1_imagenet.npz", **drawn)
    for name in ("besbes-squeezenet", "squeezenet-depths"):
        article = articles.get(name)
        assert article.extractor().shape == article.build().input_shape[1:]
        assert article.extractor().fingerprint() == article.extractor().fingerprint()
    # VGG16's weights are too large to draw here.
    assert articles.get("besbes-vgg16").build().input_shape[1:] == (4, 4, 512)
