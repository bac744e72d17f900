"""The command lines that a page of the documentation shows, and how each is made short enough for a test."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import dedent

_CODE = re.compile(
    r"^ *```(?P<language>\w*)\n(?P<block>.*?)^ *```$|(?<!`)`(?P<span>(?:ldmlab|make)\s[^`]+)`", re.MULTILINE | re.DOTALL
)
_NAME = r"(?P<path>\S+\.(?:py|yaml))"
_FILES = [
    re.compile(rf"^ *```(?:python|yaml)\n *# {_NAME}\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL),
    re.compile(rf"`{_NAME}`:\n+ *```(?:python|yaml)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL),
]
_SHELL = ("", "bash", "console", "sh")
_VARIABLE = re.compile(r"[A-Z_]+=")

SMALLER = {
    "data": ("dataset.train=12", "dataset.heldout=8", "workers=1"),
    "train": (
        "trainer.max_steps=1",
        "trainer.val_check_interval=1",
        "scheduler.warmup_steps=0",
        "trainer.accelerator=cpu",
        "data.batch_size=2",
        "data.val_samples=2",
        "data.num_workers=0",
        "data.image_size=64",
        "grid_every=1000",
    ),
    "sample": ("n=2", "sampler.steps=1"),
    "evaluate": ("n=2", "sampler.steps=1"),
    "edit": ("n=1", "sampler.steps=2"),
    "benchmark": ("n=1", "sampler.steps=1"),
    "attention": ("n=1", "sampler.steps=1"),
}
"""Keys that say how much is done, with little in each."""
_DIT = ("backbone.width=32", "backbone.depth=1", "backbone.heads=2", "sampler.steps=1")
_AUTOENCODER = ("autoencoder.channels=8", "autoencoder.norm_groups=8")
BESIDE = {
    "callbacks=[default,evaluation": ("callbacks.evaluation.n=2",),
    "model=autoencoder": _AUTOENCODER,
    "autoencoder_ckpt=runs/": ("min_psnr=0",),
    "init_ckpt=runs/": ("min_psnr=0",),
    "backbone=film_net": ("min_psnr=0",),
    "callbacks=[default": _DIT,
    "experiment=shapes/unet": ("backbone.model_channels=32", "sampler.steps=1"),
    **{f"experiment={study}/": _DIT for study in ("dit_conditioning", "editing", "parameterization")},
    **{f"experiment={name}": _DIT for name in ("shapes/dit", "own/dit", "own/classes", "own/unconditional", "cats")},
    "experiment=own/autoencoder": _AUTOENCODER,
    "experiment=demo/dit": _DIT,
    "dataset=folder": ("dataset.image_size=64",),
    "conditioner=inpainting": _DIT,
    "output_dir=runs/mine": _DIT,
    "metric=[adm": ("metric.precision_recall.k=1", "metric.density_coverage.k=1"),
}
"""What is added where a word begins so: smaller networks; no demand on one that was hardly trained."""
UNREAD = {
    "pictures=": ("sampler.steps",),
    "metric=vlb": ("sampler.steps",),
    "ckpt=runs/regularization/": ("sampler.steps",),
    "ckpt=runs/autoencoder/": ("sampler.steps",),
    "ckpt=runs/demo/autoencoder/": ("sampler.steps",),
    "dataset=folder": ("dataset.train", "dataset.heldout"),
}
"""Keys that nothing reads where a word begins so."""


@dataclass(frozen=True)
class Line:
    """A command line: what the environment is told, the program, and the words that follow."""

    variables: dict[str, str]
    program: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join((self.program, *self.words))

    def in_this_folder(self) -> Line:
        """With paths from the root taken from here, variables filled in, and patterns of files as the shell would."""
        words = [re.sub(r"^(\w[\w.]*=)?/", r"\1", word) for word in self.words]
        found = [sorted(glob.glob(word)) or [os.path.expandvars(word)] for word in words]
        return replace(self, words=tuple(word for each in found for word in each))

    @property
    def is_a_name(self) -> bool:
        """Whether it is the name of a command and no more."""
        return self.program == "ldmlab" and len(self.words) == 1


def lines_of(text: str) -> Iterator[Line]:
    """Those in blocks without a language, and those between backquotes, in the order of the page."""
    for found in _CODE.finditer(text):
        if found["span"]:
            yield line_of(found["span"])
        elif found["language"] in _SHELL:
            block = re.sub(r"\\\n\s*", "", found["block"])
            yield from (line_of(line) for line in block.splitlines() if line.strip())


def files_of(text: str) -> Iterator[tuple[str, str]]:
    """(path, content) of the blocks of code whose file is named by their first comment, or right before them."""
    for pattern in _FILES:
        for found in pattern.finditer(text):
            yield found["path"], dedent(found["body"])


def line_of(text: str) -> Line:
    """A command line, taken apart as a shell does."""
    words = shlex.split(text, comments=True)
    count = next(place for place, word in enumerate(words) if not _VARIABLE.match(word))
    return Line(dict(word.split("=", 1) for word in words[:count]), words[count], tuple(words[count + 1 :]))


def smaller(words: Sequence[str]) -> list[str]:
    """A command's words, with two jobs of a sweep, and otherwise what SMALLER says."""
    command, *rest = words
    if {"--help", "--cfg"} & {*rest}:
        return [*words]
    rest += _beside(BESIDE, rest)
    swept = [_key(word) for word in rest if "-m" in rest and "," in word and "=[" not in word]
    unread = {*_beside(UNREAD, rest)}
    less = {_key(word): word for word in SMALLER.get(command, ()) if _key(word) not in {*swept, *unread}}
    kept = [word for word in rest if _key(word) not in less]
    short = [_first(1 + (_key(word) == swept[0]), word) if _key(word) in swept else word for word in kept]
    return [command, *short, *less.values()]


def _beside(table: Mapping[str, Sequence[str]], words: Sequence[str]) -> list[str]:
    """What a table has for words that begin as its keys do."""
    return [value for begin, values in table.items() for value in values if any(w.startswith(begin) for w in words)]


def _key(word: str) -> str:
    return word.partition("=")[0]


def _first(count: int, word: str) -> str:
    key, _, values = word.partition("=")
    return f"{key}={','.join(values.split(',')[:count])}"
