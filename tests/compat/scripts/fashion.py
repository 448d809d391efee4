"""Seed 001's path: Fashion-MNIST with tf.keras, a Lambda, callbacks, weights read and set, activations looked at."""

import sys

import numpy as np
import tensorflow as tf
from tensorflow import keras

TRAIN, TEST, FOLDER = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

(images, labels), (test_images, test_labels) = keras.datasets.fashion_mnist.load_data()
images, labels = images[:TRAIN].reshape(-1, 28, 28, 1) / 255.0, labels[:TRAIN]
test_images, test_labels = test_images[:TEST].reshape(-1, 28, 28, 1) / 255.0, test_labels[:TEST]

model = tf.keras.models.Sequential()
model.add(
    tf.keras.layers.Conv2D(
        filters=10,
        kernel_size=(3, 3),
        strides=1,
        data_format="channels_last",
        activation=tf.nn.relu,
        use_bias=True,
        input_shape=(28, 28, 1),
        padding="same",
        name="L0-Conv2D",
    )
)
model.add(
    tf.keras.layers.Conv2D(
        filters=20, kernel_size=[3, 3], strides=1, activation=tf.nn.relu, padding="same", name="L1-Conv2D"
    )
)
model.add(tf.keras.layers.Lambda(lambda X: tf.reduce_max(input_tensor=X, axis=3, keepdims=True)))
model.add(tf.keras.layers.Flatten(name="Flatten"))
model.add(tf.keras.layers.Dense(units=10, activation=tf.nn.softmax, use_bias=True, name="Logistic"))
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.summary()

biases = []
watch = tf.keras.callbacks.LambdaCallback(
    on_epoch_begin=lambda epoch, logs: biases.append(model.layers[0].get_weights()[1]),
    on_epoch_end=lambda epoch, logs: print("-" * 29),
)
history = model.fit(
    x=images,
    y=labels,
    epochs=2,
    shuffle=True,
    validation_split=0.1,
    batch_size=128,
    verbose=2,
    callbacks=[watch],
)

probabilities = model.predict(test_images, steps=1)
errors = int(np.sum(np.argmax(probabilities, axis=1) != test_labels))
accuracy = model.evaluate(test_images, test_labels, verbose=0)[1]

weights = model.layers[0].get_weights()
weights[0][...] = 2.0
model.layers[0].set_weights([weights[0], weights[1]])

viewer = tf.keras.Model(inputs=model.input, outputs=[layer.output for layer in model.layers])
activations = viewer.predict(test_images[3].reshape(1, 28, 28, 1))
tf.keras.utils.plot_model(model, to_file=f"{FOLDER}/model.png", show_shapes=True, show_layer_names=True)

print("FACT parameters", model.count_params())
print("FACT errors", abs((1 - errors / len(test_labels)) - accuracy) < 1e-6, probabilities.shape)
print("FACT history", len(history.history["acc"]), len(history.history["val_accuracy"]), len(biases))
print("FACT kernels", weights[0].shape, bool((model.layers[0].get_weights()[0] == 2).all()))
print("FACT activations", [activation.shape for activation in activations])
