"""What a network is made of, under Keras' names, arguments, defaults and meaning."""

from __future__ import annotations

from minicnn.layers import activations
from minicnn.layers.activation_layers import ELU, Activation, LeakyReLU, ReLU, Softmax
from minicnn.layers.base import Layer, registry
from minicnn.layers.convolution import Conv2D, Conv2DTranspose, DepthwiseConv2D
from minicnn.layers.core import Dense, Flatten, Reshape
from minicnn.layers.inputs import Input, InputLayer
from minicnn.layers.lambda_layer import Lambda
from minicnn.layers.merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from minicnn.layers.names import reset_names
from minicnn.layers.normalization import BatchNormalization, LocalResponseNormalization
from minicnn.layers.pooling import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ZeroPadding2D,
)
from minicnn.layers.regularization import Dropout
from minicnn.layers.symbolic import Node, SymbolicTensor

AvgPool2D = AveragePooling2D
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
MaxPool2D = MaxPooling2D

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "Average",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "Input",
    "InputLayer",
    "Lambda",
    "Layer",
    "LeakyReLU",
    "LocalResponseNormalization",
    "MaxPool2D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Node",
    "ReLU",
    "Reshape",
    "Softmax",
    "Subtract",
    "SymbolicTensor",
    "ZeroPadding2D",
    "activations",
    "registry",
    "reset_names",
]
