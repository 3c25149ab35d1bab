import pytest
import torch

from glamm.checkpoints.resize import resized
from glamm.models.glamm import GLaMM
from tests.builders.memory import allocations
from tests.builders.training import micro_config


@pytest.fixture
def model():
    torch.manual_seed(0)
    return GLaMM.from_config(micro_config()).eval()


def test_same_size_returns_the_same_model(model):
    encoder = model.config.global_encoder

    assert resized(model, global_size=encoder.image_size) is model


@pytest.fixture
def uneven():
    """A model whose windows do not fill the grid evenly, as in `small` (32 by 14) and `7b` (64 by 14)."""
    torch.manual_seed(0)
    config = micro_config()
    grounding = config.grounding_encoder.model_copy(
        update={
            "image_size": 64,
            "patch_size": 8,
            "window_size": 3,
            "global_attention_layers": (1,),
        }
    )
    model = GLaMM.from_config(config.model_copy(update={"grounding_encoder": grounding})).eval()
    for name, parameter in model.named_parameters():
        if "pos" in name:  # zero at first
            torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize(
    ("global_size", "grounding_size"),
    [(None, None), (None, 64), (48, None), (48, 64)],
    ids=["nothing asked", "same grounding size", "other global size", "both"],
)
def test_grounding_encoder_of_its_own_size_is_unchanged(uneven, global_size, grounding_size):
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)

    other = resized(uneven, global_size=global_size, grounding_size=grounding_size)

    assert other.config.grounding_encoder == uneven.config.grounding_encoder
    with torch.no_grad():
        assert torch.equal(
            other.encode_grounding(pixels, ((64, 64),)),
            uneven.encode_grounding(pixels, ((64, 64),)),
        )


@pytest.mark.parametrize("size", ["small", "7b"])
def test_presets_keep_their_windows(size):
    from glamm.checkpoints.resize import _resized_config  # noqa: PLC0415
    from glamm.config.model import ModelConfig  # noqa: PLC0415

    config = ModelConfig.of_size(size, vocab_size=32007)

    assert _resized_config(config, global_size=None, grounding_size=None) == config
    assert (
        _resized_config(
            config,
            global_size=config.global_encoder.image_size,
            grounding_size=config.grounding_encoder.image_size,
        )
        == config
    )


def test_other_global_size_leaves_every_tensor_of_the_grounding_parts(uneven):
    before = uneven.state_dict()

    other = resized(uneven, global_size=48).state_dict()

    changed = {name for name, value in other.items() if not torch.equal(value, before[name])}
    assert changed == {"global_encoder.clip.embeddings.position_embedding.weight"}


def test_another_size_changes_only_position_embeddings(model):
    before = model.state_dict()

    other = resized(model, global_size=64, grounding_size=64)

    changed = {
        name for name, value in other.state_dict().items() if value.shape != before[name].shape
    }
    assert all("pos" in name for name in changed)
    assert any("global_encoder" in name for name in changed)
    assert any("grounding_encoder" in name for name in changed)
    assert all(
        torch.equal(value, before[name])
        for name, value in other.state_dict().items()
        if name not in changed
    )


def test_resized_model_encodes_images_of_its_size(model):
    other = resized(model, global_size=64, grounding_size=48)
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)

    with torch.no_grad():
        tokens = other.encode_image(pixels).tokens
        embedding = other.encode_grounding(pixels[..., :48, :48].contiguous(), ((48, 48),))

    assert tokens.shape[1] == other.config.global_encoder.num_tokens
    assert embedding.shape[-1] == other.config.grounding_encoder.grid_size


def test_uniform_image_has_nearly_the_same_tokens(model):
    other = resized(model, global_size=64)

    def mean_token(any_model):
        side = any_model.config.global_encoder.image_size
        pixels = torch.full((1, 3, side, side), 100, dtype=torch.uint8)
        return any_model.encode_image(pixels).tokens.mean(1)

    with torch.no_grad():
        assert torch.cosine_similarity(mean_token(model), mean_token(other)).item() > 0.98


def test_size_that_is_not_a_multiple_of_the_patch_is_refused(model):
    with pytest.raises(ValueError, match="not a multiple of the patch size"):
        resized(model, grounding_size=63)


def test_resized_model_needs_no_second_copy_and_keeps_the_type(model):
    model.bfloat16()

    with allocations() as memory:
        other = resized(model, global_size=64, grounding_size=64)

    assert {value.dtype for value in other.state_dict().values()} == {torch.bfloat16}
    assert memory.kept < sum(value.nbytes for value in model.state_dict().values()) / 4
    assert all(parameter.requires_grad for parameter in other.parameters())
