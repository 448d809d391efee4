"""The pictures say what was measured."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from minicnn import plots

CURVES = {"loss": [1.0, 0.5], "accuracy": [0.6, 0.8], "val_accuracy": [0.5, 0.7], "seconds": [1.0, 1.0]}


def labels(panel):
    return [text.get_text() for text in panel.get_legend().get_texts()]


def line(panel, label):
    return next(line for line in panel.lines if line.get_label() == label)


def test_one_panel_for_each_measure():
    figure = plots.history(CURVES, title="a network")
    assert [panel.get_title("left") for panel in figure.axes] == ["loss", "accuracy"]
    assert figure.get_suptitle() == "a network"
    loss, accuracy = figure.axes
    assert labels(loss) == ["training"]
    assert labels(accuracy) == ["training", "validation"]
    np.testing.assert_array_equal(line(accuracy, "validation").get_xydata(), [[1, 0.5], [2, 0.7]])


def test_the_articles_figure_is_a_dashed_line_and_the_test_result_a_star():
    figure = plots.history(CURVES, test={"accuracy": 0.75}, reported={"accuracy": 0.9265})
    panel = figure.axes[1]
    reported = line(panel, "article: 0.9265")
    assert set(reported.get_ydata()) == {0.9265}
    assert reported.is_dashed()
    np.testing.assert_array_equal(line(panel, "test: 0.75").get_xydata(), [[2, 0.75]])
    assert labels(figure.axes[0]) == ["training"]


def test_finer_points_replace_the_means_over_epochs():
    figure = plots.history(CURVES, steps={"epoch": [0.5, 1.0, 1.5, 2.0], "loss": [1.2, 0.8, 0.6, 0.4]})
    assert line(figure.axes[0], "training").get_xydata().tolist() == [[0.5, 1.2], [1, 0.8], [1.5, 0.6], [2, 0.4]]


def test_it_is_written_where_asked(tmp_path):
    plots.history(CURVES, path=tmp_path / "history.png")
    with Image.open(tmp_path / "history.png") as picture:
        assert picture.width > picture.height > 300


@pytest.mark.parametrize("curves", [{}, {"val_loss": [1.0]}, {"loss": []}])
def test_nothing_to_draw(curves):
    with pytest.raises(ValueError, match=r"plots\.history: expected curves with at least one measure"):
        plots.history(curves)


def test_importing_it_imports_no_matplotlib():
    code = "import sys, minicnn.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_losses_of_two_trainings_on_one_chart(tmp_path):
    losses = {"ours": [4.0, 2.0, 1.0], "theirs": [3.0, 3.0, 0.5]}
    panel = plots.loss_curves(losses, title="both", path=tmp_path / "losses.png").axes[0]
    assert labels(panel) == ["ours", "theirs"]
    for name, values in losses.items():
        assert list(line(panel, name).get_ydata()) == values
    with Image.open(tmp_path / "losses.png") as picture:
        assert picture.size[0] > 500
    means = line(plots.loss_curves({"long": np.arange(100.0)}).axes[0], "long")
    assert (means.get_xdata()[0], means.get_ydata()[0]) == (2, 0.5)  # the mean of the first two batches


@pytest.mark.parametrize("curves", [{}, {"one": []}, {"a": [1.0], "b": [1.0], "c": [1.0]}])
def test_too_few_or_too_many_losses_are_refused(curves):
    with pytest.raises(ValueError, match=r"plots\.loss_curves: expected one or two curves"):
        plots.loss_curves(curves)
