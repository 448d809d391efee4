"""Seed 004's path: filters on a picture, pictures from folders, a network with callbacks, VGG16's features, a new head.

Written for Keras 2.0.8. The article's own code stops at `np.Float32`, which NumPy never had, and at a model called
`fitted_model` that it never makes; both are put right here, and the 8x8 blur has its eight columns.
"""

import os
import shutil
import sys

import cv2
import keras
import numpy as np
from keras import applications
from keras.callbacks import Callback, EarlyStopping
from keras.constraints import maxnorm  # noqa: F401 - imported and never used, as in the article
from keras.layers import Dense, Dropout, Flatten
from keras.layers.convolutional import Conv2D, MaxPooling2D
from keras.models import Sequential, load_model
from keras.optimizers import SGD
from keras.preprocessing.image import ImageDataGenerator
from keras_tqdm import TQDMNotebookCallback
from PIL import Image
from scipy.signal import convolve2d
from tqdm import tqdm, tqdm_notebook  # noqa: F401

FOLDER, SIZE, EPOCHS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.chdir(FOLDER)


def draw(name, kind, generator):
    """A picture of stripes: upright for a cat, lying for a dog."""
    lines = np.arange(40) % 10 < 5
    pattern = np.broadcast_to(lines if kind == "cat" else lines[:, None], (40, 40))
    pixels = pattern[..., None] * 180 + generator.randint(0, 75, (40, 40, 3))
    Image.fromarray(pixels.astype("uint8")).save(name)


def organize_datasets(path_to_data, n=4000, ratio=0.2):
    """Divide flat pictures into data/{train,validation}/{cats,dogs}."""
    files = os.listdir(path_to_data)
    files = [os.path.join(path_to_data, f) for f in sorted(files)]
    np.random.RandomState(0).shuffle(files)
    files = files[:n]
    n = int(len(files) * ratio)
    val, train = files[:n], files[n:]
    shutil.rmtree("./data/", ignore_errors=True)
    for c in ["dogs", "cats"]:
        os.makedirs("./data/train/{0}/".format(c))
        os.makedirs("./data/validation/{0}/".format(c))
    for part, names in (("train", train), ("validation", val)):
        for t in tqdm(names, disable=True):
            kind = "cats" if "cat" in os.path.basename(t) else "dogs"
            shutil.copy(t, os.path.join("data", part, kind))


os.makedirs("all")
draws = np.random.RandomState(1)
for number in range(20):
    for kind in ("cat", "dog"):
        draw("all/{0}.{1}.jpg".format(kind, number), kind, draws)
organize_datasets("all", n=40, ratio=0.2)

# --- filters

image = cv2.imread("all/cat.0.jpg")
image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
blurred = convolve2d(image, np.ones((3, 3), np.float32) / 9.0)
stronger = convolve2d(image, np.ones((8, 8), np.float32) / 64.0)
G_x = convolve2d(image, np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32))
G_y = convolve2d(image, np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], np.float32))
magnitude = np.hypot(G_x, G_y)
magnitude *= 255.0 / np.max(magnitude)
print("FACT filters", image.shape, blurred.shape, stronger.shape, round(float(magnitude.max())))
print("FACT upright edges", bool(np.abs(G_x[3:-3, 3:-3]).sum() > 3 * np.abs(G_y[3:-3, 3:-3]).sum()))

# --- a network from scratch

batch_size, lr, epochs = 8, 1e-2, EPOCHS
train_datagen = ImageDataGenerator(rescale=1 / 255.0, shear_range=0.2, zoom_range=0.2, horizontal_flip=True)
train_generator = train_datagen.flow_from_directory(
    "./data/train/", target_size=(SIZE, SIZE), batch_size=batch_size, class_mode="categorical"
)
validation_datagen = ImageDataGenerator(rescale=1 / 255.0)
validation_generator = validation_datagen.flow_from_directory(
    "./data/validation/", target_size=(SIZE, SIZE), batch_size=batch_size, class_mode="categorical"
)
model = Sequential()
model.add(Conv2D(32, (3, 3), input_shape=(SIZE, SIZE, 3), padding="same", activation="relu"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Conv2D(32, (3, 3), padding="same", activation="relu"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Conv2D(64, (3, 3), activation="relu", padding="same"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Dropout(0.25))
model.add(Flatten())
model.add(Dense(64, activation="relu"))
model.add(Dropout(0.5))
model.add(Dense(2, activation="softmax"))
model.compile(
    loss="binary_crossentropy",
    optimizer=SGD(lr=lr, momentum=0.9, decay=lr / epochs, nesterov=False),
    metrics=["accuracy"],
)


class LossHistory(Callback):
    """Losses of every epoch."""

    def on_train_begin(self, logs={}):  # noqa: B006
        """Forget."""
        self.losses = []
        self.val_losses = []

    def on_epoch_end(self, epoch, logs={}):  # noqa: B006
        """Append."""
        self.losses.append(logs.get("loss"))
        self.val_losses.append(logs.get("val_loss"))


history = LossHistory()
early_stopping = EarlyStopping(monitor="val_loss", min_delta=0, patience=2, verbose=0, mode="auto")
fitted_model = model.fit_generator(
    train_generator,
    steps_per_epoch=32 // batch_size,
    epochs=epochs,
    validation_data=validation_generator,
    validation_steps=8 // batch_size,
    callbacks=[TQDMNotebookCallback(leave_inner=True, leave_outer=True), early_stopping, history],
    verbose=0,
)
os.makedirs("models")
model.save("./models/model4.h5")
print("FACT classes", train_generator.class_indices, train_generator.samples, validation_generator.samples)
print("FACT parameters", model.count_params())
print("FACT history", len(history.losses) == len(fitted_model.history["acc"]) == len(fitted_model.history["val_acc"]))
loaded = load_model("./models/model4.h5")
batch = validation_generator[0][0]
print("FACT loaded", bool(np.allclose(loaded.predict(batch), model.predict(batch), atol=1e-6)))
print("FACT patience", keras.__version__, early_stopping.patience)

# --- features of a deep network, and a head on them

base = applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
generator = ImageDataGenerator(rescale=1.0 / 255).flow_from_directory(
    "./data/train/", target_size=(32, 32), batch_size=batch_size, class_mode=None, shuffle=False
)
features = base.predict_generator(generator, 32 // batch_size)
os.makedirs("features")
np.save(open("./features/train.npy", "wb"), features)
train_data = np.load(open("./features/train.npy", "rb"))
train_labels = np.array(generator.classes)
head = Sequential()
head.add(Flatten(input_shape=train_data.shape[1:]))
head.add(Dense(512, activation="relu"))
head.add(Dropout(0.5))
head.add(Dense(256, activation="relu"))
head.add(Dropout(0.2))
head.add(Dense(1, activation="sigmoid"))
head.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
fitted = head.fit(
    train_data, train_labels, epochs=2, batch_size=batch_size, verbose=0,
    callbacks=[TQDMNotebookCallback(leave_inner=True, leave_outer=False), history],
)  # fmt: skip
print("FACT features", train_data.shape, base.count_params(), len(fitted.history["acc"]))
