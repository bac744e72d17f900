"""Methods are measured on the same edits, over ranks and after a kill; what cannot be edited is told in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ldmlab.conditioners.words import PromptWords, from_pieces
from ldmlab.drawing.drawing import Drawing
from ldmlab.editing.methods.base import Edited, EditMethod, EditTask, SheetRow
from ldmlab.editing.methods.fixed_seed import FixedSeed
from ldmlab.editing.methods.inpaint import Inpaint
from ldmlab.editing.methods.mask_blend import MaskBlend
from ldmlab.editing.methods.prompt_to_prompt import PromptToPromptMethod
from ldmlab.editing.methods.sdedit import SDEdit
from ldmlab.evaluation.pie_bench.choice import require_prompts, shown_of, with_change
from ldmlab.evaluation.pie_bench.edits import edited, given, require_editing
from ldmlab.evaluation.pie_bench.folder import PieCase, PieFolder
from ldmlab.evaluation.pie_bench.measure import PieBench, PieMeasured
from ldmlab.evaluation.shares import SINGLE, Kept, Shares
from ldmlab.guidance.none import NoGuidance
from ldmlab.metrics.editing.background import BackgroundMSE, BackgroundPSNR
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.ranks import ALONE, Ranks
from ldmlab.samplers.ddim import DDIM

from ....pie_folder import change_entry, write_pie_folder

CATEGORIES = "01012"


class Brighter(EditMethod):
    """Adds the task's seed to each pixel."""

    needs = frozenset({"image", "target"})

    def __init__(self, fails_at: int = -1) -> None:
        self.fails_at = fails_at
        self.made: list[int] = []

    def _edit(self, task: EditTask) -> Edited:
        (seed,) = task.drawing.seeds
        if seed == self.fails_at:
            raise KeyboardInterrupt
        self.made.append(seed)
        picture = (task.picture.int() + seed).clamp(0, 255).to(torch.uint8)[None]
        return Edited(SheetRow("image", task.picture[None]), [SheetRow("edit", picture)])


@pytest.fixture
def cases(tmp_path: Path) -> list[PieCase]:
    """Five edits, of which the last may change every pixel."""
    folder = write_pie_folder(tmp_path / "pie", CATEGORIES, size=16)
    change_entry(folder, f"{4:012d}", mask=[0, 256])
    return [*PieFolder.read(folder).cases]


@pytest.fixture
def task(make_model: Callable[[str], LatentDiffusion]) -> EditTask:
    return EditTask(make_model("drawer"), Drawing(DDIM(steps=2), NoGuidance(), ()))


def bench(task: EditTask, cases: Sequence[PieCase]) -> PieBench:
    return PieBench(task, cases, range(1, len(cases) + 1), [BackgroundMSE(), BackgroundPSNR()])


def test_each_edit_is_measured_outside_its_mask(task: EditTask, cases: list[PieCase]) -> None:
    measured = bench(task, cases).measure({"brighter": Brighter()}, {"brighter": SINGLE})
    wanted = []
    for seed, case in enumerate(cases[:4], start=1):
        what = given(case, 16)
        more = (what.picture.int() + seed).clamp(max=255) - what.picture.int()
        wanted.append(float((more.double() / 255 * ~what.mask).square().mean()))
    values = measured.values["brighter"][:, 0]
    assert values[:4].tolist() == pytest.approx(wanted)
    assert torch.isnan(values[4])
    found = measured.found
    assert found.figures["brighter/MSE"] == pytest.approx(sum(wanted) / 4)
    assert found.errors["brighter/MSE"] == pytest.approx(float(torch.tensor(wanted).double().std()) / 2)
    of_category = {name: mean for name, mean, _ in measured.means("brighter", "0")}
    assert of_category["MSE"] == pytest.approx((wanted[0] + wanted[2]) / 2)
    assert found.notes[-1] == "1 of 5 edits may change every pixel, so nothing outside their masks is measured"
    assert [len(row) for row in measured.pictures.values()] == [5, 5]


def test_picture_and_mask_are_fitted_together(tmp_path: Path) -> None:
    case = PieFolder.read(write_pie_folder(tmp_path / "large", "0", size=40)).cases[0]
    whole, small = given(case, 40), given(case, 20)
    assert whole.mask.sum() > 4 * 39  # the border, and the object
    assert torch.equal(small.mask, whole.mask.unfold(0, 2, 2).unfold(1, 2, 2).flatten(2).any(dim=2))
    assert small.picture.shape == (3, 20, 20)


def test_methods_do_not_mix(task: EditTask, cases: list[PieCase]) -> None:
    both = bench(task, cases).measure({"a": Brighter(), "b": Brighter()}, {"a": SINGLE, "b": SINGLE})
    assert both.values["a"].shape == (5, 2)
    assert torch.equal(both.values["a"].nan_to_num(), both.values["b"].nan_to_num())


def test_ranks_give_the_figures_of_one(task: EditTask, cases: list[PieCase], on_ranks: Callable[..., Any]) -> None:
    def values(ranks: Ranks) -> list[Any]:
        measured: PieMeasured = bench(task, cases).measure({"a": Brighter()}, {"a": Shares(ranks)})
        return [measured.values["a"].nan_to_num().tolist(), [each.tolist() for each in measured.pictures["a"]]]

    assert on_ranks(2, values) == [values(ALONE)] * 2


def test_a_killed_measurement_goes_on(task: EditTask, cases: list[PieCase], tmp_path: Path) -> None:
    shares = Shares(kept=Kept(tmp_path / "kept").of({"method": "a"}))
    with pytest.raises(KeyboardInterrupt):
        bench(task, cases).measure({"a": Brighter(fails_at=3)}, {"a": shares})
    method = Brighter()
    measured = bench(task, cases).measure({"a": method}, {"a": shares})
    assert method.made == [3, 4, 5]
    whole = bench(task, cases).measure({"a": Brighter()}, {"a": SINGLE})
    assert torch.equal(measured.values["a"].nan_to_num(), whole.values["a"].nan_to_num())
    assert all(map(torch.equal, measured.pictures["a"], whole.pictures["a"]))


def test_a_method_is_told_what_it_needs(task: EditTask, cases: list[PieCase], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[EditTask] = []

    class Asks(Brighter):
        def _edit(self, task: EditTask) -> Edited:
            seen.append(task)
            return super()._edit(task)

    own = replace(task, drawing=task.drawing.of([1]))
    for needs in ({"image", "target"}, {"image", "target", "source"}, {"image", "target", "mask"}):
        method = Asks()
        method.needs = frozenset(needs)  # type: ignore[misc]
        edited(method, own, cases[0], given(cases[0], 16), words=True)
        assert seen[-1].given == needs
    drawn = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    monkeypatch.setattr(EditTask, "draw", lambda self, prompts: drawn)
    assert edited(method, own, cases[4], given(cases[4], 16), words=True) is not None
    assert len(seen) == 3  # what may change every pixel is drawn by its prompt alone


@dataclass(frozen=True)
class Looks(PromptToPromptMethod):
    """Tells of its settings in place of an edit."""

    def _edit(self, task: EditTask) -> Edited:
        raise ValueError(f"{self.blend} {self.reweight}")


class Words:
    """A conditioner that knows the words of its prompts."""

    def words(self, prompt: str) -> PromptWords:
        return from_pieces([(word, 1) for word in prompt.split()], 20)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("red", "green"), r"\['red', 'green'\] {'green': 2.0}"),
        (("blue", "green"), r"\['green'\] {'green': 2.0}"),
        (("red", "blue"), r"\['red'\] None"),
        ((), "None None"),
    ],
)
def test_prompt_to_prompt_hears_of_the_words(
    words: tuple[str, ...], told: str, task: EditTask, cases: list[PieCase]
) -> None:
    case = replace(cases[0], source="a red star", target="a green star", words=words)
    what = given(case, 16)
    own = replace(task, model=SimpleNamespace(conditioner=Words()))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"^{told}$"):
        edited(Looks(), own, case, what, words=True)
    with pytest.raises(ValueError, match=r"^None None$"):
        edited(Looks(), own, case, what, words=False)
    with pytest.raises(ValueError, match=r"^\['star'\] {'star': 3.0}$"):
        edited(Looks(blend=["star"], reweight={"star": 3.0}), own, case, what, words=True)


def test_methods_that_edit_no_given_picture_are_refused() -> None:
    for method in (FixedSeed(), SDEdit(), Inpaint(), MaskBlend(), PromptToPromptMethod()):
        require_editing("x", method)

    class Drawn(Brighter):
        needs = frozenset({"source", "target"})

    with pytest.raises(ValueError, match="methods=drawn: takes no picture and prompt; choose one such as"):
        require_editing("drawn", Drawn())


def test_what_goes_wrong_names_the_method_and_the_edit(task: EditTask, cases: list[PieCase]) -> None:
    class Larger(Brighter):
        def _edit(self, task: EditTask) -> Edited:
            row = SheetRow("", torch.zeros(1, 3, 32, 16, dtype=torch.uint8))
            return Edited(row, [row])

    with pytest.raises(ValueError, match=r"methods=larger: 000000000000: makes 32x16 pixels of 16x16"):
        bench(task, cases).measure({"larger": Larger()}, {"larger": SINGLE})
    broken = [replace(cases[0], runs=[1, 2, 3])]
    with pytest.raises(ValueError, match=r"mapping_file.json: 000000000000: its mask is not pairs"):
        bench(task, broken).measure({"a": Brighter()}, {"a": SINGLE})


def test_a_model_without_prompts_is_refused(task: EditTask, cases: list[PieCase]) -> None:
    with pytest.raises(ValueError, match="ckpt=mine: this model reads no prompts, by which PIE-Bench edits"):
        require_prompts(task.model, cases, "mine")


def test_edits_without_a_change_are_left_out(cases: list[PieCase]) -> None:
    same = replace(cases[1], target=cases[1].source.upper())
    kept, notes = with_change([cases[0], same, cases[2]])
    assert kept == [cases[0], cases[2]]
    assert notes == [f"1 edits are left out, whose two prompts say the same: {same.key}"]
    with pytest.raises(ValueError, match="in all 1 edits both prompts say the same"):
        with_change([same])


def test_edits_of_all_categories_are_shown(cases: list[PieCase]) -> None:
    many = [replace(cases[0], category=category) for category in "00000000000012"]
    assert shown_of(many) == [0, 1, 2, 3, 4, 5, 6, 7, 12, 13]
