"""The other names that Keras 1 used, layer by layer, and channels first as it had them."""

import numpy as np
from keras import backend as K
from keras.constraints import maxnorm
from keras.layers.convolutional import AveragePooling2D, Convolution2D, MaxPooling2D, ZeroPadding2D
from keras.layers.core import Activation, Dense, Dropout, Flatten
from keras.layers.normalization import BatchNormalization
from keras.models import Sequential
from keras.optimizers import SGD
from keras.regularizers import l2

K.set_image_dim_ordering("th")
print("FACT ordering", K.image_dim_ordering(), K.image_data_format())

model = Sequential()
model.add(ZeroPadding2D((1, 1), input_shape=(1, 12, 12)))
model.add(
    Convolution2D(nb_filter=6, nb_row=3, nb_col=3, border_mode="valid", init="glorot_uniform", W_regularizer=l2(1e-4))
)
model.add(Activation("relu"))
model.add(MaxPooling2D(pool_size=(2, 2), border_mode="valid"))
model.add(Convolution2D(8, 3, 3, subsample=(1, 1), dim_ordering="th", bias=False, activation="relu"))
model.add(AveragePooling2D((2, 2)))
model.add(BatchNormalization(axis=1, mode=0, beta_init="zero", gamma_init="one"))
model.add(Dropout(p=0.25))
model.add(Flatten())
model.add(Dense(output_dim=16, W_constraint=maxnorm(3), init="normal"))
model.add(Activation("relu"))
model.add(Dense(output_dim=3, activation="softmax", b_regularizer=l2(0.01)))

epochs = 2
model.compile(
    loss="categorical_crossentropy",
    optimizer=SGD(lr=0.01, momentum=0.9, decay=0.01 / epochs, nesterov=False),
    metrics=["accuracy"],
)


def batches():
    generator = np.random.RandomState(0)
    while True:
        y = generator.randint(0, 3, 8)
        yield generator.rand(8, 1, 12, 12).astype("float32") + y[:, None, None, None], np.eye(3, dtype="float32")[y]


history = model.fit_generator(
    batches(),
    steps_per_epoch=4,
    nb_epoch=epochs,
    validation_data=batches(),
    validation_steps=2,
    max_q_size=10,
    nb_worker=1,
    pickle_safe=False,
    verbose=0,
)
probabilities = model.predict_generator((x for x, _ in batches()), 2)
print("FACT shapes", [layer.output_shape for layer in model.layers])
print("FACT parameters", model.count_params())
print("FACT keys", sorted(history.history), len(history.history["val_acc"]))
print("FACT predictions", probabilities.shape, bool(np.allclose(probabilities.sum(1), 1, atol=1e-5)))
print("FACT classes", model.predict_classes(np.zeros((2, 1, 12, 12), "float32")).shape)
