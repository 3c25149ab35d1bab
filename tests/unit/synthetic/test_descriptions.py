"""Names are found in descriptions as people write them."""

import pytest

from glamm.synthetic.descriptions import phrase_from_file_name, phrase_from_text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A penguin.", "penguin"),
        ("Squirrel", "squirrel"),
        ("A ripe, red tomato!", "ripe red tomato"),
        ("A ripe, red, juicy tomato", "ripe red juicy tomato"),
        ("A computer mouse. Squeak!", "computer mouse"),
        ("A baby sheep (a lamb).", "baby sheep"),
        ("A “Fuji” apple.", "fuji apple"),
        ("A Seville orange, also called a bitter orange.", "seville orange"),
        ("A hoverfly resembles a honeybee drone.", "hoverfly"),
        ("An eggplant with fruit.", "eggplant"),
        ("A bunch of grapes.", "bunch of grapes"),
        ("George the blue groper.", "blue groper"),
        ("Mercury—the planet closest to the Sun.", "mercury"),
        ("A plumber’s wrench.", "plumber's wrench"),  # noqa: RUF001 - as it is typed
        ("de.utf8=Ein Hund\nA dog\n", "dog"),
        ("blue water bottle, 500 ml", "blue water bottle"),
    ],
)
def test_phrase_is_the_noun_phrase_of_the_description(text: str, name: str) -> None:
    phrase = phrase_from_text(text)
    assert phrase is not None
    assert phrase.text == name


@pytest.mark.parametrize(
    "text",
    ["", " \n", "...", "Eat your bread!", "It's a cep, or not?", "A", "12 34", "Boom!!!"],
    ids=["empty", "blank", "dots", "order", "question", "article", "digits", "exclamation"],
)
def test_text_without_a_name_has_no_phrase(text: str) -> None:
    assert phrase_from_text(text) is None


@pytest.mark.parametrize(
    ("text", "determiner"),
    [
        ("Some flowers.", "some"),
        ("Two wild boars.", "two"),
        ("Sweet yellow corn.", "some"),
        ("A cat", ""),
        ("Rose", ""),
    ],
)
def test_determiner_is_kept_or_follows_from_the_noun(text: str, determiner: str) -> None:
    phrase = phrase_from_text(text)
    assert phrase is not None
    assert phrase.determiner == determiner


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("red_apple-02", "red apple"),
        ("RedApple", "red apple"),
        ("banana", "banana"),
        ("IMG_1234", None),
        ("001", None),
    ],
)
def test_phrase_of_a_file_name_has_no_numbers(stem: str, name: str | None) -> None:
    phrase = phrase_from_file_name(stem)
    assert (phrase and phrase.text) == name


def test_the_head_of_a_compound_is_its_last_word() -> None:
    phrase = phrase_from_text("A hot air balloon.")
    assert phrase is not None
    assert (phrase.adjectives, phrase.noun) == (("hot", "air"), "balloon")
