import pytest

from glamm.config.params import Params, load_params
from glamm.errors import ConfigError


def test_empty_file_gives_the_defaults(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("")

    assert load_params(path) == Params()


def test_override_changes_one_value():
    params = load_params(None, ["synth.seed=7"])

    assert params.synth.seed == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("synth.seed", "write section.key=value"),
        ("synth.sede=7", "synth.sede: Extra inputs are not permitted"),
        ("synth.seed=many", "synth.seed: Input should be a valid integer"),
        ("nonsense.seed=7", "nonsense: Extra inputs"),
        ("synth.seed={", "is not YAML"),
    ],
    ids=["no value", "unknown key", "wrong type", "unknown section", "broken value"],
)
def test_bad_override_names_the_key(override, message):
    with pytest.raises(ConfigError, match=message):
        load_params(None, [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "top level must be sections"),
        ("trian: {}", "trian: Extra inputs"),
    ],
    ids=["broken", "a list", "unknown section"],
)
def test_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=message) as caught:
        load_params(path)

    assert str(path) in str(caught.value)


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"Name a params file with --params"):
        load_params(tmp_path / "none.yaml")
