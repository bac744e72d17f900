"""Natural captions from the names of the package `emoji`, such as ":man_cook_medium-dark_skin_tone:"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import emoji

_TONES = re.compile(r"_?(medium-light|medium-dark|light|medium|dark)_skin_tone")
_HAIR = re.compile(r"^(man|woman|person) (?:(bald)|(beard)|(\w+ hair))\b")
_GROUP = re.compile(r"^(couple with heart|kiss|family)((?: (?:man|woman|person|adult|boy|girl|child))+)$")
_GROUP_WORDS = {"couple with heart": "couple of {} with a heart", "kiss": "kiss between {}", "family": "family of {}"}
_VARIATION_SELECTOR = "\ufe0f"
_REGIONAL = range(0x1F1E6, 0x1F200)
_TAGGED_FLAG = 0xE0067
_SMALL_WORDS = re.compile(r" (?:with|of|in|on|at|over|between|and|facing|holding|gesturing|playing|lifting|showing) ")
_UNCOUNTABLE = re.compile(
    r"(?:bacon|bread|broccoli|butter|cheese|corn|fire|fog|garlic|ginger|honey|ice|luggage|oden|popcorn|rice|sake|salt"
    r"|soap|spaghetti|sushi|tennis|tofu|water|yarn)"
)
_PLURAL = {"people", "men", "women", "teeth", "feet"}
_VOWEL_SOUND = re.compile(r"^(?:[aiAEIO]|o(?!ne-)|e(?!u|we)|[uU](?!ni|no|se|k)|hour|X-|SOS)")


@dataclass(frozen=True)
class EmojiName:
    """A name taken apart: `base` without skin tones is what variants of one emoji share."""

    base: str
    tones: tuple[str, ...]
    flag: bool

    def phrase(self) -> str:
        """Say it in English, as "a man cook with medium-dark skin" or "the flag of Togo"."""
        if self.flag:
            return self.base if "flag" in self.base else f"the flag of {self.base}"
        words = _with_article(_GROUP.sub(_say_group, _HAIR.sub(_say_hair, self.base)))
        if not self.tones:
            return words
        return f"{words} {'and' if ' with ' in words else 'with'} {' and '.join(self.tones)} skin"


def emoji_name(characters: str) -> EmojiName | None:
    """Look up a sequence of characters, with or without variation selectors; None if it is no standard emoji."""
    name = _names().get(characters.replace(_VARIATION_SELECTOR, ""))
    if name is None:
        return None
    # A modifier shown alone is a swatch whose name is the tone itself.
    base = _TONES.sub("", name) or name
    tones = tuple(_TONES.findall(name)) if base != name else ()
    codes = [ord(c) for c in characters]
    is_flag = all(code in _REGIONAL for code in codes) or _TAGGED_FLAG in codes
    return EmojiName(_clean(base), tones, is_flag)


@cache
def _names() -> dict[str, str]:
    return {
        key.replace(_VARIATION_SELECTOR, ""): str(entry["en"]).strip(":") for key, entry in emoji.EMOJI_DATA.items()
    }


def _clean(name: str) -> str:
    words = name.replace("_", " ").replace("\u2019", "'").replace("&", "and")
    return re.sub(r"^keycap (.)$", r"key with the sign \1", words)


def _say_hair(found: re.Match[str]) -> str:
    who, bald, beard, hair = found.groups()
    if bald:
        return f"bald {who}"
    return f"{who} with a beard" if beard else f"{who} with {hair}"


def _say_group(found: re.Match[str]) -> str:
    *people, last = [f"{'an' if _VOWEL_SOUND.match(each) else 'a'} {each}" for each in found[2].split()]
    return _GROUP_WORDS[found[1]].format(" and ".join([", ".join(people), last]) if people else last)


def _with_article(words: str) -> str:
    head = _SMALL_WORDS.split(words)[0].split()
    first, last = head[0], head[-1]
    plural = last.endswith("s") and not last.endswith(("ss", "us", "is", "os", "'s"))
    if plural or first in _PLURAL or _UNCOUNTABLE.fullmatch(last) or first in ("Mrs.", "Santa") or last in _PLURAL:
        return words
    return f"{'an' if _VOWEL_SOUND.match(words) else 'a'} {words}"
