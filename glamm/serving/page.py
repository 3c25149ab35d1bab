"""The web page, in the colors of the overlays."""

from pathlib import Path

from glamm.geometry.palette import FILL_OPACITY, color_of, hex_color

_PAGE = Path(__file__).parent / "ui" / "index.html"
_NUM_COLORS = 96  # further masks begin again


def render_page() -> str:
    """The HTML of the page, which refers to no other file."""
    palette = " ".join(hex_color(color_of(index)) for index in range(_NUM_COLORS))
    page = _PAGE.read_text(encoding="utf-8")
    return page.replace("{{palette}}", palette).replace("{{fill_opacity}}", str(FILL_OPACITY))
