"""An editing method on one of PIE-Bench's pictures, at the size that the model draws.

Shapes: S x S pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Bool, UInt8
from torch import Tensor

from ldmlab.conditioners.words import PromptWords
from ldmlab.editing.methods.base import EditMethod, EditTask
from ldmlab.editing.methods.prompt_to_prompt import PromptToPromptMethod
from ldmlab.evaluation.pie_bench.folder import PieCase
from ldmlab.pictures.reading import fit_mask, fit_picture, read_picture

WEIGHT = 2.0
"""By which the benchmark's own runs weigh the word that is edited."""


@dataclass(frozen=True)
class Given:
    """A picture to edit, and where it may change."""

    picture: UInt8[Tensor, "3 S S"]
    mask: Bool[Tensor, "S S"]


def given(case: PieCase, side: int) -> Given:
    """The picture of a case and its mask, cropped and scaled to S x S together.

    Raises:
        ValueError: the file is no picture, or the mask does not fit it.
    """
    picture = read_picture(str(case.picture), case.key)
    return Given(fit_picture(picture, side), fit_mask(case.mask(*picture.shape[-2:]), side))


def require_editing(name: str, method: EditMethod) -> None:
    """Refuse a method that does not edit a given picture by a prompt.

    Args:
        name: what the user calls it.
        method: itself.

    Raises:
        ValueError: it does something else.
    """
    if not {"image", "target"} <= method.needs | method.takes:
        raise ValueError(f"methods={name}: takes no picture and prompt; choose one such as prompt_to_prompt or sdedit")


def edited(method: EditMethod, task: EditTask, case: PieCase, what: Given, words: bool) -> UInt8[Tensor, "3 S S"]:
    """What a method makes of a picture.

    A method gets the mask only if it cannot do without one. If that marks every pixel, nothing is kept, and the target
    prompt alone is drawn.

    Args:
        method: see `require_editing`.
        task: of the model, on its device, and how it draws, with the seed of this edit.
        case: the prompts.
        what: the picture and its mask.
        words: prompt-to-prompt changes the picture only where the benchmark's words are, and weighs the target's twice.

    Raises:
        ValueError: the method refuses the edit, or makes a picture of another size.
    """
    reads_mask = "mask" in method.needs
    if reads_mask and bool(what.mask.all()):
        return task.draw([case.target])[0]
    sources = [case.source] if "source" in method.needs else None
    mask = what.mask if reads_mask else None
    task = replace(task, sources=sources, targets=[case.target], image=what.picture, mask=mask)
    if words and isinstance(method, PromptToPromptMethod):
        method = _told_words(method, task, case)
    try:
        after = method.edit(task).after[0].pictures[0]
    except ValueError as error:
        hint = "; words=false tells no words" if str(error).startswith(("blend", "reweight")) else ""
        raise ValueError(f"{error}{hint}") from error
    if after.shape != what.picture.shape:
        sizes = ["x".join(map(str, each.shape[1:])) for each in (after, what.picture)]
        raise ValueError(f"makes {sizes[0]} pixels of {sizes[1]}, and what is edited here keeps its size")
    return after


def _told_words(method: PromptToPromptMethod, task: EditTask, case: PieCase) -> PromptToPromptMethod:
    """The method with the benchmark's words, as far as the prompts have them; what its user has set stays."""
    if not case.words:
        return method
    words, (source, target) = task.model.conditioner.words, (case.words[0], case.words[-1])
    in_source, in_target = _has(words(case.source), source), _has(words(case.target), target)
    blend = [word for word, is_there in ((source, in_source), (target, in_target)) if is_there]
    if method.blend is None and blend:
        method = replace(method, blend=blend)
    if method.reweight is None and in_target:
        method = replace(method, reweight={target: WEIGHT})
    return method


def _has(prompt: PromptWords, word: str) -> bool:
    try:
        return bool(prompt.find(word, "blended_word"))
    except ValueError:
        return False
