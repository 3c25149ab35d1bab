import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from glamm.data.inspection.html_viewer import render, write_view
from glamm.data.shards.reader import ShardWriter
from glamm.errors import DataError
from glamm.structures.sample import Turn
from tests.builders.data import SIZE, grounded, jpeg, row


@pytest.fixture
def shards(tmp_path):
    writer = ShardWriter(tmp_path / "train", shard_bytes=1 << 20)
    for seed in range(4):
        writer.add(row(seed), jpeg(seed=seed))
    writer.close()
    return tmp_path


def test_page_shows_every_image_asked_for_and_needs_no_other_file(shards, tmp_path):
    assert write_view(shards, tmp_path / "page.html", split="train", first=1, count=2) == 2

    page = (tmp_path / "page.html").read_text()
    assert page.count("<section>") == 2
    assert "image1.jpg" in page
    assert "image3.jpg" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_masks_are_drawn_where_they_are_and_spans_have_their_colour():
    pixels = np.zeros((*SIZE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    sample = grounded()
    black = type(sample.image)(key="black.png", size=SIZE, data=file.getvalue())

    page = render((grounded(image=black),), 0)

    found = re.search(r"base64,([^\"]+)", page)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))
    assert shown.shape == (*SIZE, 3)
    assert shown[7, 6].max() > 60  # inside of object 0
    assert shown[20, 4].max() < 20
    colours = re.findall(r"<mark[^>]*gradient\(90deg,([^)]*)\)\">([^<]*)</mark>", page)
    assert [text for _, text in colours][:2] == ["A cube", "two balls"]
    assert len(colours[1][0].split(",")) == 2  # two objects, two colours


def test_words_of_files_cannot_break_the_page():
    turns = (Turn("user", None), Turn("assistant", "<img src=x onerror=alert(1)>"))

    assert "<img src=x" not in render((grounded(turns=turns),), 0)


def test_row_that_is_not_there_is_said(shards, tmp_path):
    with pytest.raises(DataError, match="has 4 images, there is no number 9"):
        write_view(shards, tmp_path / "page.html", split="train", first=9)
