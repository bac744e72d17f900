"""Editing methods written as words of `ldmlab edit`, composed and checked as that command's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig

from ldmlab.configs.build import build_method
from ldmlab.configs.errors import UserError
from ldmlab.configs.methods import compose_methods
from ldmlab.editing.inversion.ddim import DDIMInversion
from ldmlab.editing.methods.prompt_to_prompt import PromptToPromptMethod
from ldmlab.paths import conf_dir


def test_an_entry_is_what_edit_would_make_of_it() -> None:
    entry = "prompt_to_prompt inversion=ddim inversion.iterations=3 method.tau=0.4 method.reweight={star: 2}"
    composed = compose_methods([entry, "sdedit"])
    method = build_method(composed[entry])
    assert isinstance(method, PromptToPromptMethod)
    assert (method.tau, method.reweight) == (0.4, {"star": 2})
    assert isinstance(method.inversion, DDIMInversion)
    assert method.inversion.iterations == 3
    assert [*composed] == [entry, "sdedit"]


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (["swap"], "methods=swap: group 'method' has no option 'swap'"),
        (["sdedit", "sdedit"], "methods: 'sdedit' stands there twice"),
        (["sdedit ckpt=mine"], "methods=sdedit ckpt=mine: ckpt=mine is not the method's own"),
        (["sdedit method.tau=1"], "methods=sdedit method.tau=1: unknown key 'method.tau'"),
        (["sdedit inversion=ddim"], "'inversion' comes with method=fixed_seed or method=prompt_to_prompt"),
        (["uncrop"], "methods=uncrop: no value for method.canvas"),
        (["prompt_to_prompt method.tau=much"], "method.tau=much: "),
    ],
)
def test_what_is_no_method_is_told(entries: list[str], told: str) -> None:
    with pytest.raises(UserError) as error:
        compose_methods(entries)
    assert told in str(error.value)


def test_a_rank_finds_methods_where_the_first_process_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method/mine.yaml").write_text(
        "# Mine.\n_target_: ldmlab.editing.methods.sdedit.SDEdit\nstrength: 0.3\n"
    )
    sources = [SimpleNamespace(schema="file", path=str(folder)) for folder in (conf_dir(), tmp_path)]
    told = SimpleNamespace(runtime=SimpleNamespace(config_sources=sources))
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: told)
    assert compose_methods(["mine"])["mine"].method.strength == 0.3
