"""What single files say of their diffusion process beside their weights: marks among the keys, and metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ldmlab.interop.tensors import Tensors
from ldmlab.models.plain_data import shown

KEYS = {"v_pred": "Velocity", "ztsnr": None}
"""Keys without values by which trainers mark velocities and a schedule that ends in pure noise."""
PREDICTION = ("modelspec.prediction_type", "modelspec.predict_key", "prediction_type")
WORDS = {
    "epsilon": "Epsilon",
    "eps": "Epsilon",
    "noise": "Epsilon",
    "v": "Velocity",
    "v_prediction": "Velocity",
    "v-prediction": "Velocity",
    "velocity": "Velocity",
    "sample": "CleanLatents",
    "x0": "CleanLatents",
}
"""How metadata name a prediction."""
VELOCITY, ZERO_SNR = ("ss_v_parameterization",), ("ss_zero_terminal_snr", "modelspec.zero_terminal_snr", "ztsnr")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False, "none": None, "": None}


@dataclass(frozen=True)
class Marks:
    """What a file says of its process; None where it says nothing.

    Attributes:
        prediction: a class of `diffusion.parameterizations`.
        zero_terminal_snr: whether its schedule ends in pure noise.
        keys: how many keys are marks and no weights.
    """

    prediction: str | None = None
    zero_terminal_snr: bool | None = None
    keys: int = 0


def read_marks(tensors: Tensors) -> tuple[Marks, Tensors]:
    """What the keys and the metadata of a file say of its process, and the file's tensors without such keys.

    Raises:
        ValueError: two marks contradict each other, or one says what ldmlab does not know.
    """
    names = [name for name in KEYS if name in tensors]
    predictions = {f"the key '{name}'": prediction for name in names if (prediction := KEYS[name]) is not None}
    predictions |= dict(_predictions(tensors))
    if len({*predictions.values()}) > 1:
        contradiction = ", ".join(f"{where} says {prediction.lower()}" for where, prediction in predictions.items())
        raise ValueError(f"path={tensors.source}: contradicts itself: {contradiction}; save it with one of them")
    ends = _boolean(tensors, ZERO_SNR)
    if "ztsnr" in names:
        if ends is False:
            raise ValueError(f"path={tensors.source}: has the key 'ztsnr', and its metadata say the contrary")
        ends = True
    return Marks(next(iter(predictions.values()), None), ends, len(names)), tensors.without(names)


def _predictions(tensors: Tensors) -> Iterator[tuple[str, str]]:
    for key in PREDICTION:
        word = tensors.metadata.get(key, "").strip().lower()
        if word and word not in WORDS:
            raise ValueError(f"path={tensors.source}: its metadata have {key}={shown(word)}; use epsilon, v or x0")
        if word:
            yield key, WORDS[word]
    velocity = _boolean(tensors, VELOCITY)
    if velocity is not None:
        yield VELOCITY[0], "Velocity" if velocity else "Epsilon"


def _boolean(tensors: Tensors, keys: tuple[str, ...]) -> bool | None:
    for key in keys:
        word = tensors.metadata.get(key, "").strip().lower()
        if word not in BOOLEANS:
            raise ValueError(f"path={tensors.source}: its metadata have {key}={shown(word)}; use true or false")
        if BOOLEANS[word] is not None:
            return BOOLEANS[word]
    return None
