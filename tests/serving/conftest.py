"""A service in this process, with a model that has memorized one image."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from glamm.serving.service import GLaMMService
from tests.builders.memorized import draw_image


@pytest.fixture(scope="session")
def image() -> bytes:
    stream = io.BytesIO()
    draw_image().save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def client(memorized_model: Path) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLAMM_MODEL", str(memorized_model))
        with TestClient(GLaMMService.to_asgi()) as client:
            yield client


@pytest.fixture
def ask(client: TestClient, image: bytes) -> Callable[..., tuple[int, dict]]:
    """Post a form; missing arguments are replaced by valid fields, None leaves a field out."""

    def post(image: bytes | None = image, **fields: str | None) -> tuple[int, dict]:
        data = {"question": "What is in this image?"} | fields
        parts = {name: (None, value) for name, value in data.items() if value is not None}
        files = parts if image is None else parts | {"image": ("image", image)}
        response = client.post("/ground", files=files or {"nothing": (None, "")})
        return response.status_code, response.json()

    return post
