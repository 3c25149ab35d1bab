from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

NAMES = [
    "a red ball",
    "a green box",
    "a blue cup",
    "a yellow hat",
    "a white cat",
    "a black dog",
    "a pink car",
    "a tin can",
]


def disc(color: tuple[int, int, int], *, side: int = 80) -> np.ndarray:
    """A round cut-out in blue, green, red, alpha; every color gives another image."""
    image = np.zeros((side, side, 4), dtype=np.uint8)
    cv2.circle(image, (side // 2, side // 2), side // 2 - 6, (*color, 255), -1, cv2.LINE_AA)
    return image


@pytest.fixture
def cutouts(tmp_path: Path) -> Path:
    folder = tmp_path / "cutouts"
    (folder / "deeper").mkdir(parents=True)
    for index, name in enumerate(NAMES):
        subfolder = folder / "deeper" if index % 2 else folder
        cv2.imwrite(str(subfolder / f"{index}.png"), disc((10 * index, 20, 250)))
        (subfolder / f"{index}.txt").write_text(f"{name}.\nde.utf8=Etwas.\n", encoding="utf-8")
    return folder


@pytest.fixture
def backgrounds(tmp_path: Path) -> Path:
    folder = tmp_path / "backgrounds"
    folder.mkdir()
    for index in range(6):
        image = np.full((120, 160, 3), (200, 90 + 10 * index, 20), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
    return folder


@pytest.fixture
def digest() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder with its bytes."""
    return lambda folder: {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
