"""Networks that somebody else trained, under Keras' names, with Keras' arguments and layer names.

Their weights come from files: ``weights=`` names one, and ``weights="imagenet"`` looks for the published one in
`$MINICNN_DATA` and the folders in it, in the folder ``applications`` of the cache, and where Keras keeps what it
downloads (``~/.keras/models``). Each network's module has the `preprocess_input` that its weights were trained with,
and `decode_predictions`. `bottleneck` keeps what a network makes of pictures, for transfer learning.
"""

from __future__ import annotations

from minicnn.applications import bottleneck, imagenet_utils, resnet50, squeezenet, vgg16
from minicnn.applications.resnet50 import ResNet50
from minicnn.applications.squeezenet import SqueezeNet
from minicnn.applications.vgg16 import VGG16

__all__ = ["VGG16", "ResNet50", "SqueezeNet", "bottleneck", "imagenet_utils", "resnet50", "squeezenet", "vgg16"]
