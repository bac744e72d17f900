from __future__ import annotations

from pathlib import Path

import pytest

from ldmlab import paths


def lay_out(root: Path, *, checkout: bool) -> None:
    """A package with its own copy of conf/, inside a checkout or not."""
    module = root / "src/ldmlab/paths.py"
    for folder in (module.parent, root / "src/ldmlab/conf", root / "conf"):
        folder.mkdir(parents=True, exist_ok=True)
    if checkout:
        (root / "pyproject.toml").touch()


@pytest.mark.parametrize(("checkout", "expected"), [(True, "."), (False, "src/ldmlab")])
def test_the_checkouts_copy_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkout: bool, expected: str
) -> None:
    lay_out(tmp_path, checkout=checkout)
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "src/ldmlab/paths.py"))
    assert paths.conf_dir() == (tmp_path / expected / "conf").resolve()
    assert paths.experiments_dir() == (tmp_path / expected / "conf/experiment").resolve()
