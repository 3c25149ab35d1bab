import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from glamm.data.inspection.html_viewer import render_html, render_image
from glamm.errors import DataError
from glamm.structures.sample import Turn
from tests.builders.data import SIZE, grounded, write_shards


@pytest.fixture
def shards(tmp_path):
    write_shards(tmp_path / "train", range(4))
    return tmp_path


def test_page_shows_the_chosen_images_and_refers_to_no_other_file(shards, tmp_path):
    assert render_html(shards, tmp_path / "page.html", split="train", first=1, count=2) == 2

    page = (tmp_path / "page.html").read_text()
    assert page.count("<section>") == 2
    assert "image1.jpg" in page
    assert "image3.jpg" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_masks_are_drawn_where_they_are_and_spans_have_their_color():
    pixels = np.zeros((*SIZE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    sample = grounded()
    black = type(sample.image)(key="black.png", size=SIZE, data=file.getvalue())

    page = render_image((grounded(image=black),), 0)

    found = re.search(r"base64,([^\"]+)", page)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))
    assert shown.shape == (*SIZE, 3)
    assert shown[7, 6].max() > 60  # inside of object 0
    assert shown[20, 4].max() < 20
    colors = re.findall(r"<mark[^>]*gradient\(90deg,([^)]*)\)\">([^<]*)</mark>", page)
    assert [text for _, text in colors][:2] == ["A cube", "two balls"]
    assert len(colors[1][0].split(",")) == 2  # two objects, two colors


def test_text_of_files_cannot_break_the_page():
    turns = (Turn("user", None), Turn("assistant", "<img src=x onerror=alert(1)>"))

    assert "<img src=x" not in render_image((grounded(turns=turns),), 0)


def test_missing_image_is_refused(shards, tmp_path):
    with pytest.raises(DataError, match="has 4 images, and none with index 9"):
        render_html(shards, tmp_path / "page.html", split="train", first=9)
