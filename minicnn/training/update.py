"""An optimizer's step without the Python around its kernels.

Its kernels are recorded like those of the way to the gradients (`replay`); learning rate and step count are asked for
anew every time (`minicnn.kernels.recording.vary`). This is done for optimizers whose step is nothing but kernels:
exactly the classes below, and nothing that limits gradients or weights.
"""

from __future__ import annotations

from typing import Any

from minicnn import optimizers
from minicnn.kernels.recording import Recording, record

OPTIMIZERS = (optimizers.SGD, optimizers.Adam, optimizers.AdamW, optimizers.RMSprop, optimizers.Adagrad)
# The comparison copies twice what a step changes. Where that is large, the kernels take so long that Python does not
# matter.
MOST_BYTES = 8 * 2**20
# What every step looks at again.
VARYING = ("iterations", "_learning_rate")


def settings(optimizer: Any) -> list[Any]:
    """What a recorded step of an optimizer depends on, beside the parameters."""
    return [value for name, value in vars(optimizer).items() if name not in VARYING]


def is_updated_by_kernels(optimizer: Any) -> bool:
    """Whether an optimizer's arithmetic is that of its kernel, apart from clipping."""
    return (
        type(optimizer) in OPTIMIZERS
        and not getattr(optimizer, "amsgrad", False)
        and not (optimizer.weight_decay and not optimizer.decays_weights)
    )


class Update:
    """The step of an optimizer, for parameters and gradients that stay where they are.

    Attributes:
        trusted: whether it has been compared with the real thing and found equal.
        failed: whether it cannot be recorded, is not worth it, or differed.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        clips = optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm
        self.trusted = False
        self.failed = (
            not is_updated_by_kernels(optimizer)
            or any(clip is not None for clip in clips)
            or any(parameter.constraint is not None for parameter in optimizer.parameters)
            or sum(array.nbytes for array in optimizer.arrays()) > MOST_BYTES
        )
        self._changed = [parameter for parameter in optimizer.parameters if parameter.trainable]
        self._recording: Recording | None = None

    @property
    def recording(self) -> Recording:
        """The kernels of a step, where `trusted`.

        Raises:
            RuntimeError: there is none.
        """
        if self._recording is None:
            raise RuntimeError("Update: no step has been recorded yet")
        return self._recording

    def step(self) -> None:
        """Follow the gradients: recorded at first, then made both ways, then replayed."""
        if self.failed:
            self.optimizer.step()
        elif self._recording is None:
            with record() as self._recording:
                self.optimizer.step()
        elif self.trusted:
            self._replay(self._recording)
        else:
            self._compare(self._recording)

    def _replay(self, recording: Recording) -> None:
        recording.replay()
        self.note()
        self.optimizer.iterations += 1

    def note(self) -> None:
        """Say of all weights that they have changed."""
        for parameter in self._changed:
            parameter.bump_version()

    def _compare(self, recording: Recording) -> None:
        arrays = self.optimizer.arrays()
        before = [array.copy() for array in arrays]
        self.optimizer.step()
        real = [array.copy() for array in arrays]
        self.optimizer.iterations -= 1
        for array, old in zip(arrays, before, strict=True):
            array[...] = old
        self._replay(recording)
        self.trusted = all(array.tobytes() == new.tobytes() for array, new in zip(arrays, real, strict=True))
        self.failed = not self.trusted
        for array, new in zip(arrays, real, strict=True):
            array[...] = new
