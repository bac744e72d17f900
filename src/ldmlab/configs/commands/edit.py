"""The config of `ldmlab edit`."""

from __future__ import annotations

from ldmlab.configs.checks import NO_ADAPTER, Checks, Rule, setting
from ldmlab.configs.keys import Count, ModelKeys, PathText, Prompt


class EditKeys(ModelKeys):
    """`ldmlab edit`."""

    source: Prompt | None
    target: Prompt | None
    image: PathText | None
    mask: PathText | None
    n: Count


CHECKS = Checks(
    keys=EditKeys,
    untyped=("method.word_tau", "method.reweight"),
    rules=(
        NO_ADAPTER,
        Rule(("inversion",), setting("image", None), "only a picture that is given is inverted; give image= as well"),
    ),
    reads=dict.fromkeys(("image", "mask"), "no such file or directory; give a JPEG, PNG or WebP file"),
)
