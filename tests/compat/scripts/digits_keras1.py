"""Seed 002's path with the names of Keras 1: convolutions, poolings, a wide dense layer, on MNIST."""

import sys

import numpy as np

np.random.seed(1337)
from keras.datasets import mnist
from keras.layers import Activation, Convolution2D, Dense, Flatten, MaxPooling2D
from keras.models import Sequential
from keras.optimizers import Adam
from keras.utils import np_utils

TRAIN, TEST = (int(word) for word in sys.argv[1:])

(X_train, y_train), (X_test, y_test) = mnist.load_data()
X_train = X_train[:TRAIN].reshape(-1, 1, 28, 28) / 255
X_test = X_test[:TEST].reshape(-1, 1, 28, 28) / 255
y_train = np_utils.to_categorical(y_train[:TRAIN], num_classes=10)
y_test = np_utils.to_categorical(y_test[:TEST], nb_classes=10)

model = Sequential()
model.add(
    Convolution2D(
        filters=32,
        nb_row=5,
        nb_col=5,
        border_mode="same",
        input_shape=(1, 28, 28),
    )
)
model.add(Activation("relu"))
model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding="same"))
model.add(Convolution2D(64, 5, 5, border_mode="same"))
model.add(Activation("relu"))
model.add(MaxPooling2D(pool_size=(2, 2), border_mode="same"))
model.add(Flatten())
model.add(Dense(1024))
model.add(Activation("relu"))
model.add(Dense(10))
model.add(Activation("softmax"))

adam = Adam(lr=1e-4)
model.compile(optimizer=adam, loss="categorical_crossentropy", metrics=["accuracy"])
history = model.fit(X_train, y_train, nb_epoch=1, batch_size=64, verbose=2)
loss, accuracy = model.evaluate(X_test, y_test)

print("FACT parameters", model.count_params())
print("FACT output", model.output_shape)
print("FACT accuracy is a share", 0 <= accuracy <= 1, loss > 0)
print("FACT both names", history.history["acc"] == history.history["accuracy"])
