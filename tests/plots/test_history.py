"""The pictures say what was measured."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from minicnn import plots
from minicnn.callbacks import History
from minicnn.layers import Dense
from minicnn.models import Sequential

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


def test_a_history_knows_its_epochs():
    history = History()
    history.on_train_begin()
    for epoch in range(4, 8):
        validation = {"val_loss": 10.0 * epoch} if epoch % 2 else {}
        history.on_epoch_end(epoch, {"loss": float(epoch), "matrix": np.eye(2), **validation})
    (panel,) = plots.history(history, test={"loss": 3.0}).axes
    np.testing.assert_array_equal(line(panel, "training").get_xydata(), [[5, 4], [6, 5], [7, 6], [8, 7]])
    np.testing.assert_array_equal(line(panel, "validation").get_xydata(), [[6, 50], [8, 70]])
    np.testing.assert_array_equal(line(panel, "test: 3").get_xydata(), [[8, 3]])
    assert panel.get_xlim()[0] < 5 and panel.get_xlim()[1] > 8
    with pytest.raises(ValueError, match=r"'val_loss' has 2 values for 4 epochs.*give what fit returned"):
        plots.history(history.history)


def test_what_fit_returns_is_drawn():
    model = Sequential([Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    x, y = np.ones((4, 2)), np.ones((4, 1))
    history = model.fit(x, y, epochs=3, validation_data=(x, y), validation_freq=2, verbose=0)
    (panel,) = plots.history(history).axes
    assert list(line(panel, "training").get_xdata()) == [1, 2, 3]
    assert list(line(panel, "validation").get_xdata()) == [2]
    assert history.epochs_of == {"loss": [0, 1, 2], "val_loss": [1]}


def test_it_is_written_where_asked(tmp_path):
    plots.history(CURVES, path=tmp_path / "history.png")
    with Image.open(tmp_path / "history.png") as picture:
        assert picture.width > picture.height > 300


@pytest.mark.parametrize("curves", [{}, {"val_loss": [1.0]}, {"loss": []}, {"matrix": [np.eye(2)]}])
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
