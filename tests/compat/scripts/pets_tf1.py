"""Seed 000's notebook as its year wrote it: tf.keras of TensorFlow 1, flat folders, PIL, raw pixels, files without an ending."""

import glob
import os
import sys

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow import keras

tf.enable_eager_execution()
os.chdir(sys.argv[1])
IMG_SIZE = (12, 16)

draws = np.random.RandomState(0)
for name, upright in (("cats", True), ("dogs", False)):
    os.makedirs(name)
    for number in range(24):
        lines = np.arange(40) % 10 < 5
        pattern = np.broadcast_to(lines if upright else lines[:, None], (40, 40))
        pixels = pattern[..., None] * 180 + draws.randint(0, 75, (40, 40, 3))
        Image.fromarray(pixels.astype("uint8")).save("{}/{}.jpg".format(name, number))


def pixels_from_path(file_path):
    """A picture as the article reads it."""
    im = Image.open(file_path)
    im = im.resize(IMG_SIZE)
    np_im = np.array(im)
    return np_im


cats, dogs = sorted(glob.glob("cats/*")), sorted(glob.glob("dogs/*"))
train = np.asarray([pixels_from_path(path) for path in cats[:16] + dogs[:16]])
labels = np.asarray([1 for _ in range(16)] + [0 for _ in range(16)])
valid = np.asarray([pixels_from_path(path) for path in cats[-8:] + dogs[-8:]])
valid_labels = np.asarray([1 for _ in range(8)] + [0 for _ in range(8)])
img_size = train[0].shape

animal = keras.Input(shape=img_size, name="ani_image")
x = keras.layers.Flatten(name="flattened_img")(animal)
x = keras.layers.Dense(512, activation="relu", name="first_layer")(x)
cat = keras.layers.Dense(1, activation="sigmoid", name="class")(x)
fc_model = keras.Model(inputs=animal, outputs=cat)
fc_model.compile(
    optimizer=keras.optimizers.Adam(lr=0.001), loss="mean_squared_error",
    metrics=["binary_crossentropy", "mean_squared_error"],
)  # fmt: skip
fc_model.fit(x=train, y=labels, batch_size=32, epochs=1, shuffle=True, validation_data=(valid, valid_labels))

animal = keras.Input(shape=img_size, name="ani_image")
x = keras.layers.Conv2D(24, kernel_size=3, activation="relu")(animal)
x = keras.layers.MaxPool2D(pool_size=(2, 2))(x)
x = keras.layers.Conv2D(24, kernel_size=3, activation="relu")(x)
x = keras.layers.MaxPool2D(pool_size=2, strides=2, data_format="channels_last")(x)
x = keras.layers.Flatten(name="flattened_features")(x)
x = keras.layers.Dense(128, activation="relu")(x)
cat = keras.layers.Dense(1, activation="sigmoid")(x)
conv_model = keras.Model(inputs=animal, outputs=cat)
conv_model.compile(
    optimizer=keras.optimizers.Adam(lr=0.0001), loss="binary_crossentropy",
    metrics=["binary_crossentropy", "mean_squared_error"],
)  # fmt: skip
history = conv_model.fit(train, labels, batch_size=16, epochs=2, shuffle=True, validation_data=(valid, valid_labels), verbose=1)
preds = np.asarray([pred[0] for pred in conv_model.predict(valid)])
conv_model.save("conv_model_huge_e13")
again = keras.models.load_model("conv_model_huge_e13")
again.fit(train, labels, batch_size=16, epochs=1, shuffle=True, validation_data=(valid, valid_labels), verbose=0)

correct = []
for i in range(1, 10):
    t = 0.1 * i
    positive = preds > t
    correct.append(np.sum(positive == valid_labels) / valid_labels.shape[0])

print("FACT shapes", img_size, fc_model.count_params(), conv_model.count_params())
print("FACT correlation", np.corrcoef(preds, valid_labels).shape, len(correct))
print("FACT keys", sorted(history.history))
print("FACT file", os.path.isfile("conv_model_huge_e13"), int(again.optimizer.iterations))
