"""Seed 003's path in today's names: two pairs of convolutions on MNIST, measured and looked at."""

import sys

import keras
import numpy as np
from keras.datasets import mnist
from keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
from keras.models import Sequential
from keras.utils import to_categorical

TRAIN, TEST = (int(word) for word in sys.argv[1:])

keras.utils.set_random_seed(1)
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = x_train[:TRAIN].reshape(-1, 28, 28, 1).astype("float32") / 255
x_test = x_test[:TEST].reshape(-1, 28, 28, 1).astype("float32") / 255
labels = y_test[:TEST]
y_train, y_test = to_categorical(y_train[:TRAIN], 10), to_categorical(labels, 10)

model = Sequential(
    [
        keras.Input(shape=(28, 28, 1)),
        Conv2D(32, kernel_size=(5, 5), padding="same", activation="relu"),
        Conv2D(32, kernel_size=(5, 5), padding="same", activation="relu"),
        MaxPooling2D(pool_size=(2, 2)),
        Conv2D(64, kernel_size=(3, 3), padding="same", activation="relu"),
        Conv2D(64, kernel_size=(3, 3), padding="same", activation="relu"),
        MaxPooling2D(pool_size=(2, 2)),
        Flatten(),
        Dense(128, activation="relu"),
        Dense(10, activation="softmax"),
    ]
)
model.summary()
model.compile(loss="categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=128, epochs=2, verbose=2, validation_data=(x_test, y_test))
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
predicted = np.argmax(model.predict(x_test, verbose=0), axis=1)

print("FACT parameters", model.count_params())
print("FACT keys", sorted(history.history))
print("FACT steps", [len(values) for values in history.history.values()])
print("FACT accuracy", abs(accuracy - np.mean(predicted == labels)) < 1e-6, np.isfinite(loss))
print("FACT last", abs(history.history["val_accuracy"][-1] - accuracy) < 1e-6)
