import pytest
import torch

from glamm.models.sam.mask_decoder import dense_positions, restore_mask_logits
from tests.builders.models import build_model, random_images


def test_values_on_padding_are_ignored() -> None:
    model = build_model()
    _, pixels = random_images(2)
    sizes = ((96, 128), (128, 77))
    noisy = pixels.clone()
    noisy[0, :, 96:] = 255
    noisy[1, :, :, 77:] = 255

    with torch.no_grad():
        clean, ignored = (model.encode_grounding(item, sizes) for item in (pixels, noisy))

    assert torch.equal(clean, ignored)


def test_images_of_a_batch_are_independent() -> None:
    model = build_model()
    _, pixels = random_images(2)
    sizes = ((96, 128), (128, 77))

    with torch.no_grad():
        both = model.encode_grounding(pixels, sizes)
        alone = model.encode_grounding(pixels[1:], sizes[1:])

    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_dense_positions_match_segment_anything() -> None:
    model = build_model()

    ours = dense_positions(model.prompt_encoder)

    assert torch.allclose(ours, model.prompt_encoder.get_dense_pe(), atol=1e-5)


def test_restored_mask_has_the_size_and_position_of_the_image() -> None:
    low = torch.full((1, 32, 32), -5.0)
    low[:, :12, 16:] = 5.0  # top half of an image of 24 x 32, right half

    restored = restore_mask_logits(
        low, padded_size=128, resized_size=(96, 128), original_size=(60, 80)
    )

    assert restored.shape == (1, 60, 80)
    assert (restored[0] > 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert restored[0, 5, 75] > 0
    assert restored[0, 55, 5] < 0


def test_restore_rejects_an_image_larger_than_the_square() -> None:
    with pytest.raises(ValueError, match="129 x 128 does not fit a square of 128"):
        restore_mask_logits(
            torch.zeros(1, 32, 32), padded_size=128, resized_size=(129, 128), original_size=(9, 9)
        )
