"""Seed 004's progress bars: keras-tqdm's example, a dense network with normalised hidden layers on MNIST."""

import sys

from keras.callbacks import LambdaCallback
from keras.datasets import mnist
from keras.layers import BatchNormalization, Dense, Dropout, Flatten, LeakyReLU
from keras.models import Sequential
from keras.utils import np_utils
from keras_tqdm import TQDMCallback

TRAIN, TEST = (int(word) for word in sys.argv[1:])


def mnist_model(verbose, callbacks):
    """The example's network, trained for a while."""
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    x_train, x_test = x_train[:TRAIN].astype("float32") / 255, x_test[:TEST].astype("float32") / 255
    y_train, y_test = np_utils.to_categorical(y_train[:TRAIN], 10), np_utils.to_categorical(y_test[:TEST], 10)
    model = Sequential()
    model.add(Flatten(input_shape=(28, 28)))
    for units in (512, 256):
        model.add(Dense(units))
        model.add(BatchNormalization())
        model.add(LeakyReLU(0.2))
        model.add(Dropout(0.5))
    model.add(Dense(10, activation="softmax"))
    model.compile("adam", loss="categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        x_train, y_train, batch_size=32, epochs=2, verbose=verbose, callbacks=callbacks,
        validation_data=(x_test, y_test),
    )  # fmt: skip
    return model


epochs = []
watch = LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(sorted(logs)))
model = mnist_model(0, [TQDMCallback(leave_inner=True, leave_outer=True), watch])
print("FACT parameters", model.count_params())
print("FACT logs", epochs[0] == epochs[1], {"acc", "val_acc", "loss", "val_loss"} <= set(epochs[0]))
