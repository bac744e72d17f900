"""A list of URLs, and a stand-in for img2dataset: a program of its options that writes shards in its layout."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

STAND_IN = """#!{python} -SE
import ast, io, json, os, sys, tarfile, time
from pathlib import Path

options = {{}}
for word in sys.argv[1:]:
    name, _, value = word.removeprefix("--").partition("=")
    options[name] = ast.literal_eval(value)
Path(__file__).with_suffix(".json").write_text(json.dumps(options))
folder, size = Path(options["output_folder"]), options["number_sample_per_shard"]
links = Path(options["url_list"]).with_suffix(".links").read_text().split()
for shard in range(-(-len(links) // size)):
    stats = folder / f"{{shard:05d}}_stats.json"
    if stats.exists():
        continue
    reasons = {{}}
    with tarfile.open(folder / f"{{shard:05d}}.tar", "w") as tar:
        for place, link in enumerate(links[shard * size : (shard + 1) * size]):
            if link == "full":
                print("Traceback (most recent call last):\\nOSError: [Errno 28] No space left on device", flush=True)
                sys.exit(1)
            if link == "wait":
                Path(__file__).with_suffix(".waiting").touch()
                time.sleep(60)
            picture = Path(link)
            reason = "success" if picture.exists() else "HTTP Error 404: Not Found"
            reasons[reason] = reasons.get(reason, 0) + 1
            if reason == "success":
                key = f"{{shard:05d}}{{place:01d}}"
                caption = f"number {{place}}".encode()
                for end, content in (("jpg", picture.read_bytes()), ("json", b"{{}}"), ("txt", caption)):
                    member = tarfile.TarInfo(f"{{key}}.{{end}}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    count = sum(reasons.values())
    facts = {{"count": count, "successes": reasons.get("success", 0), "status_dict": reasons}}
    stats.write_text(json.dumps(facts))
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """The program; it leaves its options in `img2dataset.json` beside it."""
    path = tmp_path / "bin/img2dataset"
    path.parent.mkdir()
    path.write_text(STAND_IN.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def listed(tmp_path: Path, png: Callable[..., bytes]) -> Callable[..., Path]:
    """(words...) -> a list in which they are the URLs. A number is a picture, "page" a web page in place of one."""
    files = tmp_path / "files"
    files.mkdir()

    def write(*words: object, name: str = "meta.csv") -> Path:
        links = []
        for word in words:
            path = files / str(word)
            if isinstance(word, int):
                path.write_bytes(png(word))
            elif word == "page":
                path.write_text("<html>")
            links.append(str(path) if isinstance(word, int) or word == "page" else str(word))
        path = tmp_path / name
        path.write_text("URL,TEXT,score\n" + "".join(f"{link},of some words,0.5\n" for link in links))
        path.with_suffix(".links").write_text("\n".join(links))
        return path

    return write
