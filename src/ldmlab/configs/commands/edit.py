"""The config of `ldmlab edit`."""

from __future__ import annotations

from pydantic import ConfigDict

from ldmlab.configs.checks import NO_ADAPTER, Checks, Rule, setting
from ldmlab.configs.keys import Count, ModelKeys, PathText, PerWord, Prompt


class EditKeys(ModelKeys):
    """`ldmlab edit`. The method's own keys come with it; those that hold a mapping are named here as well."""

    model_config = ConfigDict(extra="allow")

    source: Prompt | None
    target: Prompt | None
    image: PathText | None
    mask: PathText | None
    n: Count
    word_tau: PerWord = None
    reweight: PerWord = None


CHECKS = Checks(
    keys=EditKeys,
    rules=(
        NO_ADAPTER,
        Rule(("inversion",), setting("image", None), "only a picture that is given is inverted; give image= as well"),
    ),
    reads=dict.fromkeys(("image", "mask"), "no such file or directory; give a JPEG, PNG or WebP file"),
)
