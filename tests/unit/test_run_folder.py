from __future__ import annotations

from pathlib import Path

import pytest

from ldmlab.run_folder import RunFolder

TEXTS = ("n: 8", "", "")


def claim(path: Path) -> RunFolder:
    return RunFolder.claim(path, ".hydra", "sample.log")


def test_only_the_folders_that_were_made_are_taken_back(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    folder = claim(tmp_path / "a/b/c")
    folder.write_record(*TEXTS)
    folder.log.write_text("said")
    folder.take_back()
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]


def test_a_parent_that_others_use_by_now_stays(tmp_path: Path) -> None:
    folder = claim(tmp_path / "runs/mine")
    (tmp_path / "runs/other").mkdir()
    folder.take_back()
    assert list(tmp_path.rglob("*")) == [tmp_path / "runs", tmp_path / "runs/other"]


def test_a_folder_of_the_users_keeps_all_that_was_in_it(tmp_path: Path) -> None:
    kept = {"note.txt": "mine", "sample.log": "earlier", ".hydra/config.yaml": "n: 7", ".hydra/mine.txt": "too"}
    (tmp_path / ".hydra").mkdir()
    for name, text in kept.items():
        (tmp_path / name).write_text(text)
    folder = claim(tmp_path)
    folder.write_record(*TEXTS)
    assert folder.replaces
    assert (tmp_path / ".hydra/config.yaml").read_text() == "n: 8"
    folder.take_back()
    left = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == kept


@pytest.mark.parametrize("left", [True, False])
def test_a_lock_that_a_killed_run_left_does_not_count(left: bool, tmp_path: Path) -> None:
    """The run that is refused takes it over, and with it away."""
    claim(tmp_path).write_record("n: 7", "", "")
    if left:
        (tmp_path / ".lock").touch()
    folder = claim(tmp_path)
    folder.write_record(*TEXTS)
    (tmp_path / ".lock").unlink(missing_ok=True)
    folder.take_back()
    assert (tmp_path / ".hydra/config.yaml").read_text() == "n: 7"


@pytest.mark.parametrize("name", ["picture.png", "note.txt"])
def test_what_has_been_written_keeps_its_record(name: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    folder = claim(tmp_path)
    folder.write_record(*TEXTS)
    (tmp_path / name).write_text("written by the run")
    folder.take_back()
    assert (tmp_path / ".hydra/config.yaml").read_text() == "n: 8"


def test_a_folder_that_is_gone_by_itself_is_no_trouble(tmp_path: Path) -> None:
    folder = claim(tmp_path / "out")
    (tmp_path / "out").rmdir()
    folder.take_back()
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("file", "not a directory"),
        ("file/below", "not a directory"),
        ("nowhere", "no such file or directory"),
        ("nowhere/below", "no such file or directory"),
        ("round", "too many levels of symbolic links"),
        ("/proc/ldmlab/out", "no such file or directory"),
        ("/proc", "no such file or directory"),
        ("/dev/null", "not a directory"),
        ("new/" + "x" * 300, "file name too long"),
    ],
)
def test_a_folder_that_cannot_be_written_to(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("absent")
    (tmp_path / "round").symlink_to("round")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=rf"output_dir=.*cannot be written to \(.*{told}.*give another folder"):
        claim(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [".hydra", ".hydra/config.yaml", "sample.log"])
def test_nothing_is_written_through_links(name: str, tmp_path: Path) -> None:
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    if name == ".hydra":
        victim.mkdir()
    else:
        victim.write_text("precious")
        (out / ".hydra").mkdir()
    (out / name).symlink_to(victim)
    with pytest.raises(ValueError, match=f"'{name}' in it is a link"):
        claim(out)


def test_a_folder_where_the_log_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.log").mkdir()
    with pytest.raises(ValueError, match=r"'sample\.log' in it is"):
        claim(tmp_path)
