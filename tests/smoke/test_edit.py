"""`ldmlab edit`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
WORDS = ("source=a red star", "target=a blue star", "sampler.steps=3", "n=2", "seed=5")


def drawn(folder: Path, kind: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob(f"0*_{kind}.png"))]


@pytest.mark.parametrize("name", ["dit", "unet"])
def test_source_and_edit(name: str, request: pytest.FixtureRequest, ldmlab: Command, tmp_path: Path) -> None:
    model = f"ckpt={request.getfixturevalue(name) / 'model.safetensors'}"
    done = ldmlab("edit", *WORDS, model, f"output_dir={tmp_path / 'edit'}")
    assert done.code == 0, done.err
    assert "attention sites changed, 0.00 MiB of maps kept at most" in done.out
    done = ldmlab("edit", *WORDS, model, "method=fixed_seed", f"output_dir={tmp_path / 'fixed'}")
    assert done.code == 0, done.err
    done = ldmlab("edit", *WORDS, model, "tau_grid=[0,1]", f"output_dir={tmp_path / 'grid'}")
    assert done.code == 0, done.err
    words = ("a red star", "n=2", "seed=5", "sampler.steps=3", model)
    assert ldmlab("sample", *words, f"output_dir={tmp_path / 'sample'}").code == 0
    source = drawn(tmp_path / "edit", "source")
    assert len(source) == 2
    assert source == [(tmp_path / f"sample/0000{i}.png").read_bytes() for i in (0, 1)]
    assert source == drawn(tmp_path / "fixed", "source") == drawn(tmp_path / "grid", "source")
    assert drawn(tmp_path / "grid", "edit_0") == drawn(tmp_path / "fixed", "edit")  # tau 0
    assert drawn(tmp_path / "grid", "edit_1") != drawn(tmp_path / "grid", "edit_0")
    assert (tmp_path / "edit/contact_sheet.png").is_file()


def test_reweighting_alone_and_prompts_with_commas(dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    model = f"ckpt={dit / 'model.safetensors'}"
    words = ("source=a red star, (big)", "n=9", "sampler.steps=2", model)
    done = ldmlab("edit", *words, "reweight={star: 3, red: -1}", "blend=[]", f"output_dir={tmp_path}")
    assert done.code == 0, done.err
    assert len(drawn(tmp_path, "source")) == len(drawn(tmp_path, "edit")) == 9
    assert drawn(tmp_path, "source") != drawn(tmp_path, "edit")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("target=null",), "says the same as source; change a word, or give reweight"),
        (("target=A red STAR",), "says the same as source"),
        (("reweight={moon: 2}",), "reweight.moon: the prompt has no 'moon'; its words are a, blue, star"),
        (("tau=1.2",), "tau=1.2: give a share between 0 and 1"),
        (("tau_grid=[0,2]",), "tau=2: give a share between 0 and 1"),
        (("method=magic",), "group 'method' has no option 'magic'"),
        (("reweight={blue: much}",), "reweight.blue=much: give a number, or a list of numbers"),
        (('reweight={blue: "2"}',), "reweight.blue=2: give a number, or a list of numbers"),
        (("reweight={blue: []}",), "reweight.blue=[]: give a number, or a list of numbers"),
        (("reweight=[blue]",), "reweight=blue: give {WORD: VALUE}, or a list"),
        (("reweight=2",), "reweight=2: input should be a valid"),
        (("word_tau={blue: true}",), "word_tau.blue=True: give a share between 0 and 1"),
        (("source=null",), "source: this method needs one"),
        (("method=fixed_seed", "target=null"), "target: this method needs one"),
        (("method=fixed_seed", "target=a red star"), "says the same as source"),
        (("method=fixed_seed", "tau_grid=[0,1]"), "unknown key 'tau_grid'"),
        (("tau=0", "self_tau=0.5", "self_side=1"), "self_side: no grid of the model is that small"),
        (("sampler.steps=-1",), "sampler.steps=-1: choose between 1 and the 1000"),
        (("sampler.steps=1000000000",), "sampler.steps=1000000000: choose between 1 and the 1000"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bad_edits(words: tuple[str, ...], told: str, dit: Path, ldmlab: Command, tmp_path: Path) -> None:
    model = f"ckpt={dit / 'model.safetensors'}"
    assert told in ldmlab("edit", *WORDS, *words, model, f"output_dir={tmp_path / 'out'}").refusal()
    assert not (tmp_path / "out").exists()
