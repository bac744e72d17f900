"""Inpainting, uncropping, SDEdit and mask-based editing on small models of both kinds: what they keep and ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.editing.methods.base import EditMethod, EditTask
from ldmlab.editing.methods.inpaint import Inpaint
from ldmlab.editing.methods.mask_blend import MaskBlend, mask_blend
from ldmlab.editing.methods.sdedit import SDEdit
from ldmlab.editing.methods.uncrop import Uncrop
from ldmlab.editing.regions.redraw import Redraw, redraw
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.dpm_solver_2m import DPMSolver2M
from ldmlab.samplers.heun import Heun
from ldmlab.samplers.noise import PictureNoise
from ldmlab.samplers.unipc import UniPC
from ldmlab.types import Denoise, Level

SAMPLERS = [DDIM(3), DDPM(3), Heun(3), DPMSolver2M(3), UniPC(3)]
SOURCE, TARGET = "a small red circle", "a big blue star"
SEEDS = (3, 4)


def drawn_by(name: str, sampler: Sampler) -> Any:
    """A case. Samplers do not see the backbone: with `make test`, each draws with a DiT, and one with a UNet."""
    slow = name == "unet" and not isinstance(sampler, DDPM)
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(name, sampler, id=f"{name}-{type(sampler).__name__}", marks=marks)


with_each_sampler = pytest.mark.parametrize(
    ("each_model", "sampler"),
    [drawn_by(name, sampler) for name in ("dit", "unet") for sampler in SAMPLERS],
    indirect=["each_model"],
)
HOLE = torch.zeros(16, 16, dtype=torch.bool)
HOLE[5:11, 3:12] = True  # not on the latent grid, of 2 pixels


def photo(height: int = 16, width: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def drawing(sampler: Sampler | None = None, seeds: Sequence[int] = SEEDS, scale: float = 2.0) -> Drawing:
    return Drawing(sampler or DDIM(3), ClassifierFree(scale), seeds)


def task(model: LatentDiffusion, sampler: Sampler | None = None, **given: Any) -> EditTask:
    prompts = {"source": given.pop("source", None), "target": given.pop("target", TARGET)}
    sources, targets = (None if prompt is None else [prompt] * len(SEEDS) for prompt in prompts.values())
    return EditTask(model, drawing(sampler), sources, targets, **given)


def plain(model: LatentDiffusion, prompt: str, sampler: Sampler) -> Tensor:
    return sample(model, drawing(sampler), {"captions": [prompt] * len(SEEDS)})


def same_outside(pictures: Tensor, image: Tensor, mask: Tensor) -> bool:
    return torch.equal(pictures[..., ~mask], image.expand_as(pictures)[..., ~mask])


@with_each_sampler
def test_a_hole_is_filled_and_the_rest_is_the_images(sampler: Sampler, each_model: LatentDiffusion) -> None:
    image = photo()
    edited = Inpaint(resample=2).edit(task(each_model, sampler, image=image, mask=HOLE))
    (after,) = edited.after
    assert after.pictures.shape == (2, 3, 16, 16)
    assert same_outside(after.pictures, image, HOLE)
    assert not torch.equal(after.pictures[0], after.pictures[1])
    assert torch.equal(edited.before.pictures, image[None])
    assert edited.notes[0].startswith("21% of the pixels drawn")


def test_what_was_in_the_hole_is_not_read(each_model: LatentDiffusion) -> None:
    one = photo()
    other = torch.where(HOLE, photo(seed=1), one)
    first, second = (
        Inpaint().edit(task(each_model, image=image, mask=HOLE)).after[0].pictures for image in (one, other)
    )
    assert torch.equal(first, second)


def test_prompt_seed_and_settings_all_matter(small_model: LatentDiffusion) -> None:
    def fill(method: EditMethod | None = None, **others: Any) -> Tensor:
        given = replace(task(small_model, image=photo(), mask=HOLE), **others)
        return (method or Inpaint(resample=3)).edit(given).after[0].pictures

    reference = fill()
    assert torch.equal(fill(), reference)
    assert torch.equal(fill(drawing=drawing(seeds=[4]), targets=[TARGET]), reference[1:])
    changed = [fill(targets=[SOURCE] * 2), fill(targets=None), fill(Inpaint(resample=2)), fill(Inpaint(3, jump=2))]
    changed += [fill(Inpaint(3, feather=3)), fill(drawing=drawing(scale=1.0))]
    assert not any(torch.equal(reference, other) for other in changed)


def test_each_picture_may_have_its_own_mask(small_model: LatentDiffusion) -> None:
    pictures, masks = torch.stack([photo(seed=seed) for seed in range(10)]), torch.zeros(10, 16, 16, dtype=torch.bool)
    for index, mask in enumerate(masks):
        mask[index : index + 4, 2:9] = True

    def draw(rows: list[int]) -> Tensor:
        batch, how = {"captions": [TARGET] * len(rows)}, drawing(seeds=[100 + row for row in rows])
        return redraw(small_model, how, pictures[rows], masks[rows], batch, Redraw(resample=2))

    assert torch.equal(draw([1, 8, 9]), draw(list(range(10)))[[1, 8, 9]])


@pytest.mark.parametrize(("canvas", "place"), [([16, 24], "left"), ([22, 18], [3, 1]), ([40, 16], "bottom")])
@pytest.mark.parametrize("each_model", ["dit", pytest.param("unet", marks=pytest.mark.slow)], indirect=True)
def test_uncropping_keeps_the_picture_where_it_is_put(
    canvas: list[int], place: str | list[int], each_model: LatentDiffusion
) -> None:
    image = photo(11, 14)
    edited = Uncrop(canvas, place, resample=2).edit(task(each_model, image=image))
    pictures = edited.after[0].pictures
    assert pictures.shape == (2, 3, *canvas)
    top, left = {"left": (2, 0), "bottom": (29, 1)}[place] if isinstance(place, str) else place
    kept = pictures[..., top : top + 11, left : left + 14]
    assert torch.equal(kept, image.expand_as(kept))
    assert edited.before.pictures.shape == (1, 3, *canvas)


def within(height: int, width: int) -> Tensor:
    """A mask in the middle of a picture."""
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[height // 3 : height // 2, width // 3 : width // 2 + 1] = True
    return mask


@pytest.mark.parametrize("method", [Inpaint(2, 2), MaskBlend(feather=2), SDEdit(0.7)], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("size", [(24, 40), (17, 31), (9, 7), (9, 40)], ids=str)
def test_pictures_of_any_size_come_back_whole(
    method: EditMethod, size: tuple[int, int], small_model: LatentDiffusion
) -> None:
    image, mask, told = photo(*size), within(*size), list[str]()
    edited = method.edit(task(small_model, image=image, mask=mask, tell=told.append))
    after = edited.after[0].pictures
    assert after.shape == (2, 3, *size)
    assert same_outside(after, image, mask)
    assert not torch.equal(after[0], after[1])
    assert not same_outside(after, image, ~mask)
    assert told[0].startswith(f"{size[0]} x {size[1]} pixels: ")


@pytest.mark.parametrize("size", [(24, 40), (17, 31), (9, 7)], ids=str)
def test_sdedit_of_a_whole_picture_of_any_size(size: tuple[int, int], small_model: LatentDiffusion) -> None:
    image = photo(*size)
    weak, strong = (row.pictures for row in SDEdit(strength_grid=[0.3, 1]).edit(task(small_model, image=image)).after)
    assert weak.shape == strong.shape == (2, 3, *size)
    assert not torch.equal(weak, strong)
    assert not any(torch.equal(weak[..., edge, :], image[:, edge].expand(2, -1, -1)) for edge in (0, -1))


@pytest.mark.parametrize("build", [partial(Inpaint, 1), MaskBlend, SDEdit], ids=["inpaint", "mask_blend", "sdedit"])
def test_the_overlap_of_windows_matters(build: Any, small_model: LatentDiffusion) -> None:
    given = task(small_model, image=photo(24, 40), mask=within(24, 40))
    usual, half, none, most = (build(overlap=share).edit(given).after[0].pictures for share in (None, 0.5, 0.0, 0.75))
    assert torch.equal(usual, half)
    assert not torch.equal(half, none)
    assert not torch.equal(half, most)


def test_a_small_mask_costs_few_windows_and_a_small_part_of_a_large_picture(
    small_model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is neither encoded nor drawn nor decoded, nor does it take part in what is."""
    seen: list[torch.Size] = []
    encode, decode = small_model.encode, small_model.decode
    monkeypatch.setattr(small_model, "encode", lambda pictures: seen.append(pictures.shape) or encode(pictures))
    monkeypatch.setattr(small_model, "decode", lambda latents: seen.append(latents.shape) or decode(latents))
    image, mask, told = photo(1000, 2000), torch.zeros(1000, 2000, dtype=torch.bool), list[str]()
    mask[500:504, 900:903] = True
    after = Inpaint(1).edit(task(small_model, image=image, mask=mask, tell=told.append)).after[0].pictures
    assert same_outside(after, image, mask)
    assert [tuple(shape) for shape in seen] == [(1, 3, 32, 32), (1, 4, 16, 16), (1, 4, 16, 16)]
    (line,) = told
    assert line.startswith("1000 x 2000 pixels: ")
    assert int(line.split("of which ")[1].split()[0]) <= 9
    elsewhere = image.clone()
    elsewhere[:, :400], elsewhere[:, 600:] = 0, 255
    again = Inpaint(1).edit(task(small_model, image=elsewhere, mask=mask)).after[0].pictures
    assert torch.equal(again[..., mask], after[..., mask])


class Watched(DDIM):
    """Notes what it starts from."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.runs: list[tuple[Tensor, Level]] = []

    def sample(self, denoise: Denoise, noise: Tensor, levels: Level, hooks: SamplerHooks | None = None) -> Tensor:
        self.runs.append((noise, levels))
        return super().sample(denoise, noise, levels, hooks)


@pytest.mark.parametrize(("strength", "made"), [(0.01, 1), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_sdedit_starts_part_of_the_way(strength: float, made: int, small_model: LatentDiffusion) -> None:
    image, sampler = photo(), Watched(8)
    SDEdit(strength).edit(task(small_model, sampler, image=image))
    ((x, levels),) = sampler.runs
    assert len(levels) - 1 == made
    level = sampler.levels(small_model.denoiser.schedule)[8 - made]
    assert torch.equal(levels.alpha[0], level.alpha)
    noise = PictureNoise([SEEDS[1]], small_model.latent_shape).draw()
    expected = float(level.alpha) * small_model.encode(image[None]) + float(level.sigma) * noise
    torch.testing.assert_close(x[1:2], expected)


@with_each_sampler
def test_sdedit_with_every_sampler_and_a_mask(sampler: Sampler, each_model: LatentDiffusion) -> None:
    image = photo()
    edited = SDEdit(strength_grid=[0.25, 0.75]).edit(task(each_model, sampler, image=image, mask=HOLE))
    assert [row.title for row in edited.after] == [f"strength 0.25: {TARGET}", f"strength 0.75: {TARGET}"]
    weak, strong = (row.pictures for row in edited.after)
    assert same_outside(weak, image, HOLE)
    assert same_outside(strong, image, HOLE)
    assert not torch.equal(weak, strong)


def test_sdedit_of_drawn_pictures(each_model: LatentDiffusion) -> None:
    edited = SDEdit(0.5).edit(task(each_model, source=SOURCE))
    assert torch.equal(edited.before.pictures, plain(each_model, SOURCE, DDIM(3)))
    assert edited.before.title == SOURCE
    assert edited.after[0].pictures.shape == (2, 3, 16, 16)


@with_each_sampler
def test_mask_based_editing_of_drawn_pictures(sampler: Sampler, each_model: LatentDiffusion) -> None:
    edited = MaskBlend().edit(task(each_model, sampler, source=SOURCE, mask=HOLE))
    before, after = edited.before.pictures, edited.after[0].pictures
    assert torch.equal(before, plain(each_model, SOURCE, sampler))
    assert torch.equal(after[..., ~HOLE], before[..., ~HOLE])
    assert not torch.equal(after, before)
    everywhere = MaskBlend().edit(task(each_model, sampler, source=SOURCE, mask=torch.ones_like(HOLE)))
    assert torch.equal(everywhere.after[0].pictures, plain(each_model, TARGET, sampler))


def test_mask_based_editing_with_a_mask_for_each_picture(small_model: LatentDiffusion) -> None:
    masks = torch.zeros(10, 16, 16, dtype=torch.bool)
    for index, mask in enumerate(masks):
        mask[:, index : index + 3] = True

    def edit(rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        given = replace(task(small_model, mask=masks[list(rows)]), drawing=drawing(seeds=rows))
        return mask_blend(given, [SOURCE] * len(rows), [TARGET] * len(rows))

    before, after = edit(range(10))
    inside = masks[:, None].expand_as(after)
    assert torch.equal(after[~inside], before[~inside])
    assert all(bool((one != other).any()) for one, other in zip(before, after, strict=True))
    assert torch.equal(edit([2, 9])[1], after[[2, 9]])


def test_mask_based_editing_of_a_given_picture_is_blended_diffusion(each_model: LatentDiffusion) -> None:
    given = task(each_model, image=photo(), mask=HOLE)
    assert torch.equal(MaskBlend().edit(given).after[0].pictures, Inpaint(resample=1).edit(given).after[0].pictures)


EMPTY, FULL = torch.zeros_like(HOLE), torch.ones_like(HOLE)


@pytest.mark.parametrize(
    ("method", "given", "told"),
    [
        (Inpaint(), {"mask": HOLE}, r"^image: this method needs one; give the picture"),
        (Inpaint(), {"image": photo()}, r"^mask: this method needs one; give a picture file of the image's size"),
        (Inpaint(), {"image": photo(), "mask": HOLE, "source": SOURCE}, r"^source: this method makes no use of it"),
        (Inpaint(), {"image": photo(), "mask": HOLE[:8]}, r"^mask=\[8,16\]: the picture is \[16,16\]"),
        (Inpaint(), {"image": photo(), "mask": EMPTY}, r"^mask: marks no pixel"),
        (Inpaint(), {"image": photo(), "mask": FULL}, r"^mask: marks every pixel"),
        (Inpaint(), {"image": photo(16, 17), "mask": HOLE}, r"^mask=\[16,16\]: the picture is \[16,17\]"),
        (Inpaint(overlap=0.2), {"image": photo(), "mask": HOLE}, r"^overlap=0.2: a picture of \[16,16\] pixels has a"),
        (Uncrop([16, 16], overlap=0.5), {"image": photo(8, 8)}, r"^overlap=0.5: a picture of \[16,16\] pixels has a"),
        (SDEdit(overlap=0.0), {"source": SOURCE}, r"^overlap=0.0: a picture of \[16,16\] pixels has a single window"),
        (SDEdit(feather=2), {"image": photo()}, r"^feather=2: there is no mask, so no rim"),
        (MaskBlend(overlap=0.5), {"source": SOURCE, "mask": HOLE}, r"^overlap=0.5: a drawn picture is the model's"),
        (Uncrop([16, 24]), {}, r"^image: this method needs one"),
        (Uncrop([16, 24]), {"image": photo(), "mask": HOLE}, r"^mask: this method makes no use of it"),
        (Uncrop([16, 23]), {"image": photo()}, r"^canvas=\[16,23\]: .* multiples of 2.* \[16,24\]"),
        (Uncrop([8, 24]), {"image": photo(8, 8)}, r"^canvas=\[8,24\]: .* at least the model's own \[16,16\]"),
        (Uncrop([16, 16]), {"image": photo(16, 18)}, r"^canvas=\[16,16\]: smaller than the image"),
        (SDEdit(), {}, r"^source: no value; say what the picture shows"),
        (SDEdit(), {"image": photo(), "source": SOURCE}, r"^source=a small red circle: the picture is given by image"),
        (SDEdit(), {"image": photo(), "mask": EMPTY}, r"^mask: marks no pixel"),
        (MaskBlend(), {"source": SOURCE}, r"^mask: this method needs one"),
        (MaskBlend(), {"mask": HOLE}, r"^source: no value"),
        (MaskBlend(), {"source": SOURCE, "mask": HOLE, "target": None}, r"^target: this method needs one"),
        (MaskBlend(), {"source": SOURCE, "mask": HOLE[:8]}, r"^mask=\[8,16\]: the picture is \[16,16\]"),
        (MaskBlend(), {"image": photo(), "mask": FULL}, r"^mask: marks every pixel"),
    ],
)
def test_refusals_of_a_task(method: EditMethod, given: dict[str, Any], told: str, small_model: LatentDiffusion) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        method.edit(task(small_model, **given))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: Inpaint(resample=0), r"^resample=0: "),
        (lambda: Inpaint(jump=0), r"^jump=0: "),
        (lambda: Inpaint(feather=-1), r"^feather=-1: "),
        (lambda: Inpaint(overlap=1.0), r"^overlap=1.0: "),
        (lambda: Uncrop([64]), r"^canvas=\[64\]: give \[ROWS,COLUMNS\]"),
        (lambda: Uncrop([64, 96], "middle"), r"^place=middle: "),
        (lambda: SDEdit(0.0), r"^strength=0.0: "),
        (lambda: SDEdit(1.1), r"^strength=1.1: "),
        (lambda: SDEdit(strength_grid=[]), r"^strength_grid=\[\]: "),
        (lambda: SDEdit(strength_grid=[0.5, 2.0]), r"^strength=2.0: "),
        (lambda: MaskBlend(feather=-2), r"^feather=-2: "),
    ],
)
def test_refusals_of_settings(build: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        build()
