import torch

from glamm.config.model import ModelConfig
from tests.builders.models import CONFIG, build_model, random_images


def _levels() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(3)
    return tuple(torch.randn(2, 192, 8, 8) for _ in range(4))


def test_features_depend_on_the_box_and_on_its_image() -> None:
    encoder = build_model().region_encoder
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 0.5]])

    with torch.no_grad():
        first, second, other_image = encoder(_levels(), boxes, torch.tensor([0, 0, 1]))

    assert not torch.allclose(first, second, atol=1e-6)
    assert not torch.equal(first, other_image)


def test_features_do_not_depend_on_the_other_boxes() -> None:
    encoder = build_model().region_encoder
    boxes = torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.3, 0.3, 1.0, 1.0]])

    with torch.no_grad():
        both = encoder(_levels(), boxes, torch.tensor([0, 1]))
        alone = encoder(tuple(level[1:] for level in _levels()), boxes[1:], torch.tensor([0]))

    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_box_of_the_whole_image_samples_the_whole_level() -> None:
    encoder = build_model().region_encoder
    level = torch.arange(8.0).expand(1, 1, 8, 8).clone()

    sampled = encoder.pool_boxes(level, torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([0]))

    assert sampled[0, 0, 0, 0] < 0.5
    assert sampled[0, 0, 0, -1] > 6.5


def test_base_of_the_release_samples_the_top_left_two_thirds() -> None:
    compat = CONFIG.compat.model_copy(update={"roi_base_size": 128 * 2 // 3})
    encoder = build_model(CONFIG.model_copy(update={"compat": compat})).region_encoder
    level = torch.arange(8.0).expand(1, 1, 8, 8).clone()

    sampled = encoder.pool_boxes(level, torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([0]))

    assert 4.0 < sampled[0, 0, 0, -1] < 5.0


def test_rounding_to_bfloat16_is_optional() -> None:
    def features(config: ModelConfig) -> torch.Tensor:
        model = build_model(config)
        with torch.no_grad():
            image = model.encode_image(random_images(1)[0])
            return model.encode_regions(image, [torch.tensor([[0, 0, 1, 1.0]])], torch.tensor([0]))

    compat = CONFIG.compat.model_copy(update={"rounds_regions_to_bf16": True})

    exact, rounded = features(CONFIG), features(CONFIG.model_copy(update={"compat": compat}))

    assert exact.dtype == rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=1e-2)
