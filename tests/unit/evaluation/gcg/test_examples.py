from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glamm.evaluation.gcg.examples import choose_examples, write_examples
from glamm.structures.report import GcgDetail, GcgScores, ReportedExample, caption_examples
from tests.builders.gcg import SIZE, block, pair
from tests.builders.reports import gcg_report

LEFT, RIGHT, TOP = block(0, 0, 8, 4), block(0, 5, 8, 4), block(0, 0, 2, 10)


def scores(**images: tuple[float | None, int]) -> GcgScores:
    """Scores with the mIoU and the number of found phrases of each image."""
    detail = GcgDetail(
        mious=tuple((name, miou) for name, (miou, _) in images.items()),
        matches=tuple(
            (name, tuple((index, index) for index in range(found)))
            for name, (_, found) in images.items()
        ),
        skipped=(),
        captions={},
    )
    return gcg_report().fixed.model_copy(update={"detail": detail})


def names(examples: list[ReportedExample]) -> list[str]:
    return [str(example.image_id) for example in examples]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ({"a": (0.5, 1), "b": (0.9, 1), "c": (0.1, 0)}, ["b", "c"]),
        ({"a": (0.2, 1), "b": (0.9, 0), "c": (0.3, 0)}, ["a", "c"]),
        ({"a": (0.5, 1), "b": (0.5, 1), "c": (0.5, 1)}, ["a", "b"]),
        ({"a": (0.5, 1), "b": (None, 0), "c": (None, 0)}, ["a"]),
    ],
    ids=["miou", "phrases-too", "equal", "undefined"],
)
def test_best_and_worst_answer_are_chosen_by_their_numbers(images, expected) -> None:
    pairs = [pair([LEFT], [LEFT], name=name) for name in images]

    assert names(choose_examples(pairs, scores(**images))) == expected


def test_image_with_more_phrases_is_chosen_among_equal_ones() -> None:
    pairs = [pair([LEFT], [], name="a"), pair([LEFT, RIGHT], [], name="b")]

    examples = choose_examples(pairs, scores(a=(1.0, 1), b=(1.0, 2)))

    assert examples[0] == ReportedExample(image_id="b", found=2, phrases=2, miou=1.0)


def test_image_without_phrases_is_no_example() -> None:
    pairs = [pair([], [], name="a")]

    assert choose_examples(pairs, scores(a=(0.0, 0))) == []


@pytest.mark.parametrize(
    ("found", "miou", "verdicts"),
    [
        ((2, 0), (0.9, 0.1), ["answered well", "not answered well"]),
        ((0, 0), (0.2, 0.1), ["the best answer", "not answered well"]),
        ((2, 2), (0.9, 0.8), ["answered well", "the worst answer"]),
    ],
    ids=["as-usual", "none-is-good", "all-are-good"],
)
def test_caption_claims_no_more_than_the_numbers(found, miou, verdicts) -> None:
    examples = [
        ReportedExample(image_id=index, found=found[index], phrases=2, miou=miou[index])
        for index in range(2)
    ]

    captions = caption_examples(examples)

    assert [caption.partition(":")[0] for caption in captions] == verdicts
    assert captions[0].endswith(f"0, {found[0]} of 2 phrases found, mIoU {100 * miou[0]:.1f}")


def test_both_examples_are_in_one_image(tmp_path: Path) -> None:
    folder = tmp_path / "GranDf_HA_images" / "val_test"
    folder.mkdir(parents=True)
    for name in "ab":
        Image.fromarray(np.zeros((*SIZE, 3), dtype=np.uint8)).save(folder / f"{name}.jpg")
    pairs = [pair([LEFT], [LEFT], name="a"), pair([RIGHT], [TOP], name="b")]
    examples = choose_examples(pairs, scores(a=(1.0, 1), b=(0.0, 0)))

    write_examples(pairs, examples, tmp_path, tmp_path / "both.png")
    write_examples(pairs, examples[:1], tmp_path, tmp_path / "one.png")

    with Image.open(tmp_path / "both.png") as both, Image.open(tmp_path / "one.png") as one:
        assert both.width == one.width
        assert both.height == 2 * one.height
