"""`glamm ground` as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glamm.cli import app
from glamm.errors import RequestError
from tests.builders.memorized import QUESTION, WORDS, draw_image


@pytest.fixture(scope="module")
def folder(memorized_model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ground")
    (folder / "model").symlink_to(memorized_model)
    draw_image().save(folder / "image.png")
    return folder


@pytest.fixture
def ground(folder, monkeypatch, capsys) -> Callable[..., str]:
    """Run the command and return its output."""

    def run(*arguments: str) -> str:
        monkeypatch.chdir(folder)
        app(
            ["ground", *arguments, "--model", "model"],
            exit_on_error=False,
            result_action="return_value",
        )
        return capsys.readouterr().out

    return run


def test_answer_is_printed_with_its_table_and_drawn(folder, ground):
    out = ground("image.png", QUESTION, "--out", "drawn/overlay.png")

    assert WORDS in out
    assert "a green box" in out.split(WORDS)[1]  # in the table
    assert "drawn/overlay.png" in out
    with Image.open(folder / "drawn" / "overlay.png") as overlay:
        assert overlay.width >= 320


def test_json_is_that_of_the_service(ground):
    out = ground("image.png", QUESTION, "--json")

    answer = json.loads(out)
    assert answer["text"] == WORDS
    assert len(answer["masks"]) == len(answer["phrases"]) == 2


def test_image_without_known_objects_is_answered(folder, ground):
    noise = np.random.default_rng(0).integers(0, 255, (37, 411, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.jpg")

    ground("noise.jpg", "Where is the piano?", "--out", "noise.png")

    assert (folder / "noise.png").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["none.png", QUESTION], r"none\.png cannot be read"),
        (["model/config.json", QUESTION], "is no image"),
        (["image.png", QUESTION, "--box", "1,x"], "four numbers"),
        (["image.png", QUESTION, "--out", "a.txt"], "must end in"),
    ],
    ids=["missing", "json", "box", "suffix"],
)
def test_invalid_argument_is_refused_before_the_model_is_loaded(
    ground, monkeypatch, arguments, reason
):
    monkeypatch.setattr("glamm.inference.predictor.load_model", None)

    with pytest.raises(RequestError, match=reason):
        ground(*arguments)


def test_box_outside_the_image_is_refused(ground):
    with pytest.raises(RequestError, match="reaches outside the image, which is 320 x 240 pixels"):
        ground("image.png", QUESTION, "--box", "1,1,999,2")


def test_the_image_itself_is_not_overwritten(folder, ground):
    before = (folder / "image.png").read_bytes()

    with pytest.raises(RequestError, match="is the image itself"):
        ground("image.png", QUESTION, "--out", "./image.png")

    assert (folder / "image.png").read_bytes() == before
