"""Which language a prompt is written in, as far as the local providers need to know."""

import re

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")


def is_chinese(text: str) -> bool:
    """Tell whether a text is Chinese: Han characters and neither Japanese kana nor Korean."""
    return bool(_HAN.search(text)) and not _KANA_OR_HANGUL.search(text)


def has_han(text: str) -> bool:
    """Tell whether a text holds characters that only a CJK font can draw."""
    return bool(_HAN.search(text) or _KANA_OR_HANGUL.search(text))


def is_mostly_latin(text: str) -> bool:
    """Tell whether at least four in five letters are Latin (an English model makes nonsense of the rest)."""
    letters = [character for character in text if character.isalpha()]
    latin = sum(1 for character in letters if character < "\u0250")
    return not letters or latin >= 0.8 * len(letters)
