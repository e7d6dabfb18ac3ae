"""QR codes for pages."""

import segno


def svg(text: str) -> str:
    """The text as a QR code: an SVG element to put into a page, readable with a seventh of it hidden."""
    return segno.make(text, error="m", micro=False).svg_inline(scale=4)
