from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from ldmlab import __version__
from ldmlab.cli.main import main

Body = Callable[[Callable[[DictConfig], None]], None]


def raises(error: BaseException) -> Callable[[DictConfig], None]:
    def run(config: DictConfig) -> None:
        raise error

    return run


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: ldmlab COMMAND" in capsys.readouterr().out
    assert main(["train", "seed=1", "--help"]) == 0
    assert "ldmlab train - " in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ldmlab {__version__}\n"


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smaple"]) == 2
    assert capsys.readouterr().err == "ldmlab: unknown command 'smaple'; did you mean 'sample'?\n"


def test_value_error_is_one_line_and_leaves_no_folder(
    body: Body, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body(raises(ValueError("ckpt=x:\n not one of ours")))
    assert main(["sample", "output_dir=out"]) == 2
    assert capsys.readouterr().err == "ldmlab: ckpt=x: not one of ours\n"
    assert not (tmp_path / "out").exists()


def test_folder_with_results_stays(body: Body, tmp_path: Path) -> None:
    def run(config: DictConfig) -> None:
        Path(config.output_dir, "last.ckpt").touch()
        raise ValueError("NaN loss")

    body(run)
    assert main(["sample", "output_dir=out"]) == 2
    assert (tmp_path / "out/last.ckpt").exists()
    assert (tmp_path / "out/.hydra/config.yaml").exists()


def test_bug_keeps_its_trace(body: Body, capsys: pytest.CaptureFixture[str]) -> None:
    body(raises(KeyError("oops")))
    assert main(["sample"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "KeyError: 'oops'" in err


def test_trace_on_request(body: Body, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDMLAB_TRACE", "1")
    body(raises(ValueError("x")))
    assert main(["sample"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("ldmlab: x\n")


def test_interrupt_is_130(body: Body, capsys: pytest.CaptureFixture[str]) -> None:
    body(raises(KeyboardInterrupt()))
    assert main(["sample"]) == 130
    assert capsys.readouterr().err == "ldmlab: interrupted\n"


def test_interrupt_that_a_library_turned_into_an_exit_is_130(body: Body) -> None:
    def run(config: DictConfig) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(1)  # noqa: B904

    body(run)
    assert main(["sample"]) == 130


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (0, 0), (3, 3), ("words", 1)])
def test_exit_codes_of_a_command_pass(body: Body, code: int | str | None, expected: int) -> None:
    body(raises(SystemExit(code)))
    assert main(["sample"]) == expected
