from __future__ import annotations

import errno

import pytest
from hydra.utils import instantiate

from ldmlab.cli.errors import UserError, explain, one_line


def component(scale: float) -> float:
    if scale < 0:
        raise ValueError(f"guidance.scale={scale}: must be positive")
    return scale


def test_user_and_value_errors_are_told_in_one_line() -> None:
    assert explain(UserError("seed=-1: no")) == "seed=-1: no"
    assert explain(ValueError("first\n  second")) == "first second"


@pytest.mark.parametrize("bug", [KeyError("x"), TypeError("x"), RuntimeError("x"), AssertionError(), ImportError("x")])
def test_bugs_are_not_explained(bug: Exception) -> None:
    assert explain(bug) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_full_disk_names_the_file(number: int) -> None:
    line = explain(OSError(number, "words of the system", "runs/last.ckpt"))
    assert line == "no space left to write: runs/last.ckpt; free some and run the same command again"


def test_full_disk_is_seen_behind_another_error() -> None:
    outer = RuntimeError("write failed")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "no space left" in str(explain(outer))
    assert "no space left" in str(explain(RuntimeError("I/O error: No space left on device (os error 28)")))


def test_other_system_errors_are_bugs() -> None:
    assert explain(OSError(errno.EIO, "I/O error")) is None


def test_missing_file_is_named() -> None:
    assert explain(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.ckpt")) == (
        "no such file or directory: a.ckpt"
    )


def test_error_of_a_constructor_names_its_key() -> None:
    config = {"guidance": {"_target_": f"{__name__}.component", "scale": -1}}
    with pytest.raises(Exception, match="must be positive") as raised:
        instantiate(config)
    line = explain(raised.value)
    assert line is None or line == "guidance.scale=-1: must be positive (in 'guidance')"


@pytest.mark.parametrize("bad", ["wide", 0])
def test_a_value_that_a_library_refuses_is_bad_input(bad: object) -> None:
    with pytest.raises(Exception, match="Error in call to target") as raised:
        instantiate({"_target_": "ldmlab.attention.module.Attention", "width": 8, "heads": bad})
    line = explain(raised.value)
    assert line is not None
    assert line.startswith("a value does not fit: ")


def test_unknown_target_is_bad_input() -> None:
    with pytest.raises(Exception, match="Error locating target") as raised:
        instantiate({"_target_": "ldmlab.samplers.nowhere.Sampler"})
    line = explain(raised.value)
    assert line is not None
    assert "ldmlab.samplers.nowhere.Sampler" in line


def test_one_line_joins() -> None:
    assert one_line(" a\n\tb  c ") == "a b c"
