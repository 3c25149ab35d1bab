"""The release's evaluation of grounded captions and of referring segmentation, case by case."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from glamm.evaluation.caption_scorer import CaptionScorer
from glamm.evaluation.gcg.ground_truth import read_ground_truth
from glamm.evaluation.gcg.predictions import pair_with_predictions
from glamm.evaluation.gcg.score import BothModes, score_gcg
from glamm.evaluation.metrics.referring import compare_image, score_compat, score_fixed
from glamm.evaluation.similarity import open_similarity
from glamm.structures.issue import IssueKind, IssueLog

GOLDENS = Path(__file__).parents[1] / "goldens"
CASES = sorted(path.name for path in (GOLDENS / "gcg_eval").iterdir())
OK = [name for name in CASES if not name.startswith("crash_")]
CRASHES = {
    "crash_missing_prediction_file": (
        IssueKind.MISSING_PREDICTION,
        "sa_111352",
        "if_missing_counts_as_empty",
    ),
    "crash_no_masks_at_all": (IssueKind.NO_MASKS, None, None),
    "crash_size_mismatch": (IssueKind.SIZE_MISMATCH, "sa_117914", "if_mask_overlaps_nothing"),
}

# Stated with the data. Largest differences measured: 9e-16 for captions, 2e-16 for everything else.
CAPTION_TOLERANCE = 1e-6
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def captions() -> Iterator[CaptionScorer]:
    """One METEOR process for all cases: its start takes ten times as long as a case."""
    with CaptionScorer.from_installed_java() as scorer:
        yield scorer


def _evaluate(name: str, captions: CaptionScorer) -> tuple[dict[str, Any], BothModes, IssueLog]:
    folder = GOLDENS / "gcg_eval" / name
    expected = json.loads((folder / "expected.json").read_text())
    issues = IssueLog()
    truth = read_ground_truth(folder, expected["split"], issues)
    pairs = pair_with_predictions(truth.images, folder / "predictions", issues)
    similarity = open_similarity(str(folder / "text_similarity_table.json"))
    return expected, score_gcg(truth, pairs, similarity, captions, issues), issues


def _assert_equal(
    value: Any, expected: Any, *, tolerance: float = TOLERANCE, path: str = ""
) -> None:
    if isinstance(expected, dict):
        for key, item in expected.items():
            is_caption = key in {"captions", "per_image_captions"}
            narrower = CAPTION_TOLERANCE if is_caption else tolerance
            _assert_equal(value[key], item, tolerance=narrower, path=f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(value) == len(expected), path
        for index, pair in enumerate(zip(value, expected, strict=True)):
            _assert_equal(*pair, tolerance=tolerance, path=f"{path}[{index}]")
    elif isinstance(expected, float):
        assert value == pytest.approx(expected, abs=tolerance, rel=0), path
    else:
        assert value == expected, path


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", OK, ids=OK)
def test_compat_matches_the_release(name: str, captions: CaptionScorer) -> None:
    expected, scores, _ = _evaluate(name, captions)
    computed = scores.compat.model_dump(mode="json")
    skipped, expected_skipped = (
        [
            {key: entry[key] for key in ("image_id", "exception")}
            for entry in report["detail"].pop("recall_swallowed_errors")
        ]
        for report in (computed, expected)
    )

    _assert_equal(computed, {key: expected[key] for key in computed if key in expected})
    assert skipped == expected_skipped


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", CRASHES, ids=CRASHES)
def test_fault_at_which_the_release_stops_is_reported_and_counted(
    name: str, captions: CaptionScorer
) -> None:
    kind, record, branch = CRASHES[name]

    expected, scores, issues = _evaluate(name, captions)

    recommended = expected["recommended"]
    recommended = recommended[branch] if branch else recommended
    computed = scores.compat.model_dump(mode="json")
    _assert_equal(computed, {key: recommended[key] for key in computed if key in recommended})
    assert [(issue.kind, issue.location.record) for issue in issues] == [(kind, record)]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_fixed_does_not_depend_on_order_or_names(captions: CaptionScorer) -> None:
    names = [name for name in OK if name.startswith("order_")]
    base, *others = [_evaluate(name, captions)[1].fixed for name in names]

    for other in others:
        assert other.paper_metrics == pytest.approx(base.paper_metrics, abs=1e-12)
        assert other.coco_stats == pytest.approx(base.coco_stats, abs=1e-12)
        assert other.f1 == pytest.approx(base.f1, abs=1e-12)
        assert other.f1_precision == pytest.approx(base.f1_precision, abs=1e-12)
        assert other.f1_recall == pytest.approx(base.f1_recall, abs=1e-12)
        assert other.has_confidences == base.has_confidences


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_fixed_counts_matches_after_a_pair_whose_phrases_differ(captions: CaptionScorer) -> None:
    _, scores, _ = _evaluate("phrase_mask_mismatch", captions)

    assert scores.fixed.true_positives > scores.compat.true_positives
    assert scores.fixed.actual_positives == scores.compat.actual_positives


REFERRING = sorted(path.name for path in (GOLDENS / "refseg_eval").iterdir())


@pytest.mark.parametrize("name", REFERRING, ids=REFERRING)
def test_referring_scores_match_the_release(name: str) -> None:
    folder = GOLDENS / "refseg_eval" / name
    expected = json.loads((folder / "expected.json").read_text())
    images = [
        compare_image(_predictions(image), [_target(target) for target in image["gt"]])
        for image in json.loads((folder / "masks.json").read_text())["images"]
    ]

    compat, fixed = score_compat(images), score_fixed(images)

    counts = [[pair.intersection, pair.union] for image in images for pair in image.pairs]
    assert counts == expected["per_pair_intersection_union_foreground"]
    # Measured: 4e-8 (the release's own sums are float32).
    assert compat.giou == pytest.approx(expected["gIoU"], abs=1e-5, rel=0)
    assert compat.ciou == pytest.approx(expected["cIoU"], abs=1e-5, rel=0)
    assert fixed.giou == pytest.approx(expected["float64"]["gIoU"], abs=TOLERANCE, rel=0)
    assert fixed.ciou == pytest.approx(expected["float64"]["cIoU"], abs=TOLERANCE, rel=0)


def _predictions(image: dict[str, Any]) -> list[np.ndarray]:
    if "logits" in image:
        return [np.asarray(logits) > 0 for logits in image["logits"]]
    return [_pixels(code) > 0 for code in image["pred"]]


def _target(target: dict[str, Any]) -> np.ndarray:
    layers = target.get("layers", [target])
    values = target.get("values") or [1] * len(layers)
    return sum(
        _pixels(layer) * np.uint8(value) for layer, value in zip(layers, values, strict=True)
    ).astype(np.uint8)


def _pixels(code: dict[str, Any]) -> np.ndarray:
    return coco.decode({"size": code["size"], "counts": code["counts"].encode()})
