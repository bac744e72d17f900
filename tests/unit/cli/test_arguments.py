from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from ldmlab.cli.arguments import parse, quoted
from ldmlab.configs.errors import UserError

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import example, given, settings
from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
AWKWARD = st.text(st.sampled_from("\\\"'${}[](),:=~+- \n\té?*#x"), min_size=1)


def read_back(line: str) -> object:
    """What Hydra's parser and OmegaConf make of an override."""
    override = OverridesParser.create().parse_override(line)
    return OmegaConf.to_container(OmegaConf.create({"value": override.value()}), resolve=True)["value"]  # type: ignore


@settings(deadline=None)
@given(st.lists(ANY_TEXT | AWKWARD, min_size=1, max_size=3))
@example(["${oops}", "\\${x}", "\\\\${x}", 'say "hi"', "a\\", '\\"', "it's", "{a: b}", "[1, 2]", "null", "3", "true"])
@example(["a, b", "line\nbreak", "\N{SNOWMAN}", "  spaces  ", "$", "${", "}", "\\", "\\\\", '"', "${a}\\"])
def test_quoting_keeps_any_text(texts: list[str]) -> None:
    assert read_back(f"prompts=[{','.join(map(quoted, texts))}]") == texts


def test_words_are_prompts_of_sample() -> None:
    arguments = parse("sample", ["a red star", "n=4", "a 'blue' circle, small", "--cfg", "job", "seed=1"])
    assert arguments.overrides[:2] == ["n=4", "seed=1"]
    assert read_back(arguments.overrides[2]) == ["a red star", "a 'blue' circle, small"]
    assert arguments.flags == ["--cfg=job"]
    assert arguments.shows
    assert not arguments.parsed.multirun


def test_a_sentence_with_an_equals_sign_is_a_prompt() -> None:
    assert read_back(parse("sample", ["a sign: E = m c^2"]).overrides[0]) == ["a sign: E = m c^2"]


def test_other_commands_name_what_was_meant() -> None:
    with pytest.raises(UserError, match="'seed' is not of the form KEY=VALUE; write seed=VALUE"):
        parse("train", ["seed", "3"])
    with pytest.raises(UserError, match="'ddim' is not of the form KEY=VALUE; did you mean 'sampler=ddim'"):
        parse("train", ["ddim"])


@pytest.mark.parametrize("prompt", ["", "  ", "???"])
def test_empty_prompts_are_refused(prompt: str) -> None:
    with pytest.raises(UserError, match="says nothing"):
        parse("sample", [prompt])


def test_prompts_are_given_one_way() -> None:
    with pytest.raises(UserError, match="keep one of the two"):
        parse("sample", ["a red star", "prompts=file.txt"])


def test_flags_of_hydra_pass() -> None:
    arguments = parse("train", ["-m", "seed=1,2", "--info", "defaults", "+a=1", "~b"])
    assert sorted(arguments.flags) == ["--info=defaults", "--multirun"]
    assert arguments.overrides == ["seed=1,2", "+a=1", "~b"]


def test_json_is_a_flag_of_describe_alone() -> None:
    for argv in (["--json", "backbone=unet"], ["backbone=unet", "--json"]):
        assert parse("describe", argv).overrides == ["backbone=unet", "json=true"]
    with pytest.raises(UserError, match="unknown flag '--json'"):
        parse("train", ["--json"])


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--cgf", "job"], "unknown flag '--cgf'; did you mean '--cfg'?"),
        (["--cfg", "jbo"], "invalid choice: 'jbo'"),
        (["--config-dir", "nowhere"], "no such folder"),
        (["--multi"], "unknown flag '--multi'"),
    ],
)
def test_wrong_flags(argv: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told.replace("?", r"\?")):
        parse("train", argv)


def test_config_dir_joins_the_search_path(tmp_path: Path) -> None:
    folder = tmp_path / "with space, and comma"
    folder.mkdir()
    arguments = parse("train", ["--config-dir", str(folder)])
    assert arguments.flags == [f"--config-dir={folder}"]
    assert read_back(arguments.searched[0]) == [f"file://{folder}"]


@pytest.mark.parametrize("word", ["caf\udce9", "negative_prompt=caf\udce9", "ckpt=caf\udce9.safetensors"])
def test_arguments_that_are_no_text_are_named(word: str) -> None:
    """As Python hands on bytes of another encoding."""
    with pytest.raises(UserError) as error:
        parse("sample", ["a star", word])
    assert "caf\\udce9" in str(error.value)
    assert "is no UTF-8 text" in str(error.value)
