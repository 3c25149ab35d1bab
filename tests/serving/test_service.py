"""Responses of the service, above all to invalid requests."""

import io
import json
import re
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from glamm.geometry.masks import decode, to_box
from glamm.structures.sample import Mask
from tests.builders.memorized import LINEAGE, WORDS


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def encode(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def test_answer_has_text_phrases_and_masks(ask):
    status, answer = ask()

    assert status == 200
    assert answer["text"] == WORDS
    assert [phrase["text"] for phrase in answer["phrases"]] == ["a red ball", "a green box"]
    assert answer["image_size"] == [240, 320]
    assert answer["finish_reason"] == "stop"
    assert answer["model_version"].startswith("unpacked-")
    for phrase in answer["phrases"]:
        assert answer["text"][phrase["start"] : phrase["end"]] == phrase["text"]
        code = answer["masks"][phrase["mask_index"]]
        pixels = decode(Mask(size=tuple(code["size"]), counts=code["counts"].encode()))
        assert pixels.shape == (240, 320)
        assert to_box(pixels) == tuple(phrase["box"])


def test_boxes_reach_the_model(ask):
    status, answer = ask(boxes="[[10, 10, 100.5, 90]]", question="What is in region1 <bbox> ?")

    assert status == 200
    assert answer["text"]


def test_the_length_of_the_answer_can_be_limited(ask):
    status, answer = ask(max_new_tokens="3")

    assert status == 200
    assert answer["finish_reason"] == "length"
    assert len(answer["text"]) < len(WORDS)


@pytest.mark.parametrize("boxes", ["", " ", "null", "[]"], ids=repr)
def test_empty_field_of_boxes_stands_for_none(ask, boxes):
    status, answer = ask(boxes=boxes)

    assert status == 200
    assert answer["text"] == WORDS


@pytest.mark.parametrize("question", ["42", "null", '{"a": 1}', "«Где?» 🐙", '"quoted"'], ids=repr)
def test_question_that_looks_like_json_is_text(ask, question):
    assert ask(question=question)[0] == 200


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"question": None}, "question is missing"),
        ({"question": ""}, "empty"),
        ({"question": "  \n"}, "empty"),
        ({"question": "a [SEG] please"}, "reserved"),
        ({"question": "see <image>"}, "reserved"),
        ({"question": "and <bbox>, <bbox>, <bbox>", "boxes": "[[1,1,9,9]]"}, "3 <bbox> .* 1 boxes"),
        ({"question": "what is <bbox>"}, "1 <bbox> .* 0 boxes"),
        ({"question": "word " * 799}, "of the model's 1024 positions"),
        ({"question": "x" * 4001}, "4001 characters, at most 4000"),
        ({"boxes": "[[NaN, 1, 2, 3]]"}, "box 1 .* not a finite number"),
        ({"boxes": "[[1, 1, Infinity, 3]]"}, "box 1 .* not a finite number"),
        ({"boxes": "[[1, 1, 1e999, 3]]"}, "box 1 .* not a finite number"),
        ({"boxes": "[[1, 1, 2, 3], [0, 0, 321, 240]]"}, "box 2 .* outside .* 320 x 240"),
        ({"boxes": "[[-1, 0, 5, 5]]"}, "outside"),
        ({"boxes": "[[9, 9, 9, 20]]"}, "no area"),
        ({"boxes": "[[20, 9, 9, 20]]"}, "no area"),
        ({"boxes": "[[1, 2, 3]]"}, "four numbers"),
        ({"boxes": '[["a", 1, 2, 3]]'}, "no number"),
        ({"boxes": "[[true, 1, 2, 3]]"}, "no number"),
        ({"boxes": "[[1, 1, 2, " + "9" * 400 + "]]"}, "box 1 .* not a finite number"),
        ({"boxes": "5"}, "list of boxes"),
        ({"boxes": "[1, 2, 3, 4]"}, "four numbers"),
        ({"boxes": "{"}, "not JSON"),
        ({"boxes": "[" * 100_000}, "not JSON"),
        ({"box": "[]"}, "unknown field 'box'"),
        ({"max_new_tokens": "0"}, "max_new_tokens is 0"),
        ({"max_new_tokens": "1.5"}, "max_new_tokens must be a whole number"),
        ({"max_new_tokens": "9" * 5000}, "max_new_tokens must be a whole number"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_questions_and_boxes_are_refused_with_a_reason(ask, fields, reason):
    status, answer = ask(**fields)

    assert status == 400, answer
    assert list(answer) == ["error"]
    assert re.search(reason, answer["error"])


@pytest.mark.parametrize(
    ("upload", "reason"),
    [
        (None, "image is missing"),
        (b"", "0 bytes"),
        (b"hello, I am text", "no image"),
        (b"%PDF-1.4 no", "no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "no image"),
        (png_header(40_000, 40_000), "at most 50,000,000"),
        (png_header(9_000, 9_000), "9000 x 9000 = 81,000,000 pixels"),
        (png_header(60, 40), "damaged"),
        (png_header(50_000, 2), "at most 100 times"),
        (encode(np.zeros((64, 64, 3), np.uint8))[:60], "damaged|no image"),
        (
            encode(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), "JPEG")[:1500],
            "damaged",
        ),
    ],
    ids=[
        "missing",
        "empty",
        "text",
        "pdf",
        "postscript",
        "bomb",
        "large",
        "no pixels",
        "line",
        "half png",
        "half jpeg",
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_images_are_refused_with_a_reason(ask, upload, reason):
    status, answer = ask(upload)

    assert status == 400, answer
    assert re.search(reason, answer["error"])
    assert ask()[0] == 200  # and the service continues


def test_image_sent_as_an_address_is_not_fetched(client):
    form = {"image": (None, "http://127.0.0.1:1/secret.png"), "question": (None, "What?")}

    response = client.post("/ground", files=form)

    assert response.status_code == 400
    assert "must be a file" in response.json()["error"]


def test_two_images_are_refused(client, image):
    files = [("image", ("a", image)), ("image", ("b", image)), ("question", (None, "What?"))]

    response = client.post("/ground", files=files)

    assert response.status_code == 400
    assert "2 fields are called image" in response.json()["error"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"image": "/etc/passwd", "question": "What?"}', "application/json"),
        (b"image=/etc/passwd&question=What", "application/x-www-form-urlencoded"),
        (b"\x80\x04.", "application/vnd.bentoml+pickle"),
        (b"nothing", "multipart/form-data"),
        (b"nothing", "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nhalf', "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data; boundary=x"),
    ],
    ids=["json", "urlencoded", "pickle", "no boundary", "no parts", "half", "no name", "empty"],
)  # fmt: skip
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # Starlette's half files
def test_bodies_that_are_no_form_are_refused(client, body, kind):
    response = client.post("/ground", content=body, headers={"content-type": kind})

    assert response.status_code in {400, 415}
    assert "error" in str(response.json())


def test_body_over_the_limit_is_refused_while_it_is_received(client):
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(300):
            sent += 2**20
            yield bytes(2**20)

    response = client.post(
        "/ground", content=body(), headers={"content-type": "multipart/form-data; boundary=x"}
    )

    assert response.status_code == 413
    assert "32 MiB" in response.json()["error"]
    assert client.get("/readyz").status_code == 200


def test_announced_size_over_the_limit_is_refused(client):
    response = client.post("/ground", content=b"x", headers={"content-length": str(2**40)})

    assert response.status_code == 413


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_health_endpoints_answer(client, path):
    assert client.get(path).status_code == 200


def test_page_is_self_contained(client):
    response = client.get("/")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    for outside in ('src="http', 'href="http', "url(http", "@import"):
        assert outside not in response.text


def test_lineage_is_that_of_the_model(client):
    manifest = client.get("/lineage").json()

    assert manifest["lineage"] == LINEAGE.as_json()
    assert manifest["config"]["prompt_style"] == "plain"
    assert len(manifest["weights_sha256"]) == 64


def test_openapi_describes_question_and_answer(client):
    document = client.get("/docs.json").json()

    operation = document["paths"]["/ground"]["post"]
    fields = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(json.dumps(fields).split('"')) >= {"image", "question", "boxes", "max_new_tokens"}
    assert set(document["components"]["schemas"]) >= {"PhraseJson", "MaskJson", "TimingsModel"}


def test_questions_at_the_same_time_are_answered_as_alone(ask):
    _, alone = ask()

    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda _: ask(), range(24)))

    for status, one in together:
        assert status == 200
        assert one["text"] == alone["text"]
        assert one["masks"] == alone["masks"]
