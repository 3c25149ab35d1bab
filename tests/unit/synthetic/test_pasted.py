"""Data sets of pasted cut-outs."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from glamm.config.synthetic import SynthConfig
from glamm.errors import DataError
from glamm.geometry import masks
from glamm.synthetic.dataset import write_dataset
from glamm.synthetic.image_pool import ImagePools, open_image_pools
from glamm.synthetic.pasted import paste_scene

Digest = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def pools(cutouts: Path, backgrounds: Path) -> ImagePools:
    return open_image_pools(cutouts, backgrounds)


def test_splits_share_no_image(pools: ImagePools) -> None:
    splits = (pools.train, pools.val, pools.test)
    for kind, total in (("cutouts", 8), ("backgrounds", 6)):
        paths = [[source.path for source in getattr(pool, kind)] for pool in splits]
        assert all(paths)
        assert len({path for pool in paths for path in pool}) == sum(map(len, paths)) == total


def test_the_same_name_spreads_over_the_splits(cutouts: Path, backgrounds: Path) -> None:
    for path in cutouts.rglob("*.txt"):
        path.write_text("An apple.")
    pools = open_image_pools(cutouts, backgrounds)
    assert all(
        pool.cutouts[0].phrase.text == "apple" for pool in (pools.train, pools.val, pools.test)
    )


def test_masks_come_from_the_alpha(pools: ImagePools) -> None:
    # red discs on a blue-green background: the color shows where they are
    for seed in range(20):
        scene = paste_scene(np.random.default_rng(seed), pools.train, side=128, max_objects=4)
        image = scene.image.astype(int)
        is_red = image[..., 2] > image[..., 0]
        annotated = np.any([masks.decode(obj.mask) for obj in scene.objects], axis=0)
        assert (is_red & annotated).sum() / (is_red | annotated).sum() > 0.95


def test_objects_have_the_names_of_their_descriptions(pools: ImagePools) -> None:
    scene = paste_scene(np.random.default_rng(1), pools.train, side=128, max_objects=4)
    known = {source.phrase.text for source in pools.train.cutouts}
    assert {obj.phrase.text for obj in scene.objects} <= known
    assert scene.setting is None


@pytest.fixture
def config(cutouts: Path, backgrounds: Path) -> SynthConfig:
    return SynthConfig(
        image_size=96, num_grand=8, num_train=8, num_val=3, num_test=3, max_objects=4,
        cutouts=cutouts, backgrounds=backgrounds,
    )  # fmt: skip


def test_files_name_only_cutouts_of_their_split(config: SynthConfig, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_dataset(out, config, workers=1)
    pools = open_image_pools(config.cutouts, config.backgrounds)
    for split, pool in (("val", pools.val), ("test", pools.test)):
        file = out / f"GranDf/annotations/val_test/{split}_gcg_coco_caption_gt.json"
        labels = {
            label.lower().split(" ", 1)[1]
            for entry in json.loads(file.read_text())["annotations"]
            for label in entry["labels"]
        }
        assert labels <= {source.phrase.text for source in pool.cutouts}
    record = json.loads(next((out / "GranD/annotations").iterdir()).read_text())
    assert next(iter(record.values()))["landmark"] == ""


@pytest.mark.slow
def test_bytes_do_not_depend_on_workers_or_on_where_the_folders_are(
    config: SynthConfig, tmp_path: Path, digest: Digest
) -> None:
    write_dataset(tmp_path / "one", config, workers=1)
    moved = config.cutouts.rename(tmp_path / "elsewhere")
    write_dataset(tmp_path / "two", config.model_copy(update={"cutouts": moved}), workers=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_changed_cutouts_need_another_folder(config: SynthConfig, tmp_path: Path) -> None:
    write_dataset(tmp_path / "out", config, workers=1)
    next(config.cutouts.rglob("*.txt")).write_text("A zebra.")
    with pytest.raises(DataError, match=r"different parameters \(pictures\)"):
        write_dataset(tmp_path / "out", config, workers=1)


def test_unusable_files_are_left_out_with_a_reason(
    cutouts: Path, backgrounds: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = next(cutouts.glob("*.png")).read_bytes()
    image = cv2.imdecode(np.frombuffer(good, np.uint8), cv2.IMREAD_UNCHANGED)
    (cutouts / "broken.png").write_bytes(good[: len(good) // 2])
    (cutouts / "noise.png").write_bytes(b"no image at all")
    cv2.imwrite(str(cutouts / "plain.jpg"), image[..., :3])
    cv2.imwrite(
        str(cutouts / "opaque.png"), np.dstack([image[..., :3], np.full((80, 80), 255, np.uint8)])
    )
    cv2.imwrite(str(cutouts / "nothing.png"), np.zeros((80, 80, 4), np.uint8))
    cv2.imwrite(str(cutouts / "tiny.png"), cv2.resize(image, (12, 12)))
    cv2.imwrite(str(cutouts / "IMG_1234.png"), np.roll(image, 3, axis=1) // 2 * 2)
    cv2.imwrite(str(cutouts / "latin.png"), image // 2 + image // 4)
    (cutouts / "latin.txt").write_bytes("Ein Käse".encode("latin-1"))
    cv2.imwrite(str(cutouts / "mirrored cup.png"), image[:, ::-1])
    cv2.imwrite(str(cutouts / "needle.png"), cv2.resize(image, (600, 20))[:18])
    cv2.imwrite(str(cutouts / "huge.png"), np.zeros((8000, 8000, 4), np.uint8))
    with caplog.at_level(logging.WARNING):
        pools = open_image_pools(cutouts, backgrounds)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    for name, reason in (
        ("broken.png", ""), ("noise.png", "no image"), ("plain.jpg", "no alpha"), ("opaque.png", "no transparent"),
        ("nothing.png", "transparent everywhere"), ("tiny.png", "pixels"), ("IMG_1234.png", "has no name"),
        ("latin.png", "latin.txt is not UTF-8"), ("mirrored cup.png", "shows the same as"), ("huge.png", "at most 50,000,000 are read"),
        ("needle.png", "too thin"),
    ):  # fmt: skip
        assert any(name in line and reason in line for line in logged.splitlines()), (name, logged)
    assert len(pools.train.cutouts) + len(pools.val.cutouts) + len(pools.test.cutouts) == 8


def test_palette_gray_and_webp_cutouts_are_read(cutouts: Path, backgrounds: Path) -> None:
    rgba = Image.open(next(cutouts.glob("*.png")))
    rgba.quantize(8).save(cutouts / "palette cup.png", transparency=0)
    rgba.convert("LA").save(cutouts / "gray cup.png")
    rgba.save(cutouts / "modern cup.webp", lossless=True)
    pools = open_image_pools(cutouts, backgrounds)
    splits = (pools.train, pools.val, pools.test)
    names = {source.phrase.text for pool in splits for source in pool.cutouts}
    assert {"palette cup", "gray cup"} <= names


def test_too_few_files_are_an_error_with_both_numbers(cutouts: Path, backgrounds: Path) -> None:
    for path in sorted(cutouts.rglob("*.png"))[2:]:
        path.unlink()
    with pytest.raises(DataError, match=r"2 usable cut-outs of 2 images.*at least 3"):
        open_image_pools(cutouts, backgrounds)


def test_a_missing_folder_is_named(cutouts: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: is no folder"):
        open_image_pools(cutouts, tmp_path / "nowhere")


def test_few_cutouts_make_scenes_of_few_objects(cutouts: Path, backgrounds: Path) -> None:
    for path in sorted(cutouts.rglob("*.png"))[3:]:
        path.unlink()
    pools = open_image_pools(cutouts, backgrounds)
    for seed in range(10):
        assert (
            len(
                paste_scene(np.random.default_rng(seed), pools.test, side=64, max_objects=8).objects
            )
            == 1
        )
