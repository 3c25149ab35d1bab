import torch

from tests.builders.models import CONFIG, build_model, random_images


def test_tokens_are_the_last_level_in_row_major_order() -> None:
    encoder = build_model().global_encoder

    with torch.no_grad():
        features = encoder(random_images(2)[0])

    assert features.tokens.shape == (2, 64, 192)
    assert [level.shape for level in features.levels] == [(2, 192, 8, 8)] * 4
    assert torch.equal(features.levels[-1].flatten(2).transpose(1, 2), features.tokens)


def test_levels_are_hidden_states_at_equal_steps() -> None:
    encoder = build_model().global_encoder
    pixels = random_images(1)[0]

    with torch.no_grad():
        levels = encoder(pixels).levels
        normalized = (pixels / 255 - encoder.pixel_mean) / encoder.pixel_std
        states = encoder.clip(pixel_values=normalized, output_hidden_states=True).hidden_states

    step, layers = CONFIG.region_encoder.level_step, CONFIG.global_encoder.num_layers
    wanted = range(layers - 3 * step, layers + 1, step)
    for level, index in zip(levels, wanted, strict=True):
        assert torch.equal(level.flatten(2).transpose(1, 2), states[index][:, 1:])
