"""Seed 000's path: the functional API on raw pixels, saved, loaded and trained on, with its threshold sweep."""

import sys

import keras
import numpy as np
from keras.layers import Conv2D, Dense, Flatten, MaxPooling2D

FOLDER = sys.argv[1]

keras.utils.set_random_seed(2)
generator = np.random.default_rng(0)
labels = generator.integers(0, 2, 64)
# Vertical stripes for one class and horizontal ones for the other, on pixels of 0..255 as the article has them.
rows = np.arange(16)
stripes = np.where(labels[:, None, None], rows[:, None] % 4 < 2, rows[None, :] % 4 < 2)[..., None]
x = (stripes * 200 + generator.integers(0, 56, (64, 16, 16, 3))).astype("uint8")

animal = keras.Input(shape=(16, 16, 3), name="ani_image")
y = Conv2D(8, kernel_size=3, activation="relu")(animal)
y = MaxPooling2D()(y)
y = Conv2D(8, kernel_size=3, activation="relu")(y)
y = MaxPooling2D()(y)
y = Flatten(name="flattened_features")(y)
y = Dense(16, activation="relu", name="first_layer")(y)
cat = Dense(1, activation="sigmoid", name="class")(y)
model = keras.Model(inputs=animal, outputs=cat)
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=1e-3),
    loss="binary_crossentropy",
    metrics=["binary_crossentropy", "mean_squared_error"],
)
targets = labels[:, None].astype("float32")
data, held = (x[:48], targets[:48]), (x[48:], targets[48:])
first = model.fit(*data, batch_size=16, epochs=3, shuffle=True, validation_data=held, verbose=0)

path = f"{FOLDER}/conv_model.{'keras' if len(sys.argv) < 3 else sys.argv[2]}"
model.save(path)
again = keras.models.load_model(path)
same = np.allclose(again.predict(held[0], verbose=0), model.predict(held[0], verbose=0), atol=1e-6)
second = again.fit(*data, batch_size=16, epochs=2, validation_data=held, verbose=0)

predictions = again.predict(held[0], verbose=0)[:, 0]
correlation = np.corrcoef(predictions, held[1][:, 0])
for threshold in [0.1 * number for number in range(1, 10)]:
    called = predictions > threshold
    precision = held[1][called, 0].sum() / max(called.sum(), 1)
    assert 0 <= precision <= 1

print("FACT parameters", model.count_params())
print("FACT names", [layer.name for layer in model.layers[-3:]], model.input.name)
print("FACT loaded predicts the same", bool(same))
print("FACT steps go on", int(again.optimizer.iterations) == 15)
print("FACT keys", sorted(first.history), len(second.history["loss"]))
print("FACT correlation", correlation.shape)
