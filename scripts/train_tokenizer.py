"""Train the vocabulary that `tiny` models use, from the captions of a data root, our templates and a list of words.

glamm synth .runs/vocabulary --set synth.num_train=3000
python scripts/train_tokenizer.py .runs/vocabulary glamm/text/assets/tokenizer.model
"""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import sentencepiece

from glamm.text import templates

VOCABULARY_SIZE = 1017
"""With the seven added tokens 1,024."""

WORDS = """
a about above across after air all along also an and animal another ant any apple apricot arm around at avocado axe baby back bag
balloon banana band bank basket bat bath beach bean bear bed bee beetle before behind below bench berry beside between bicycle big bike bird
blanket block blossom blue board boat body bone book boot both bottle bowl box boy branch bread brick bridge bright broccoli brown brush
bucket building bull bunch bus bush butterfly button by cabbage cactus cage cake calculator camel camera can candle candy car carrot cat
caterpillar chain chair cheese cherry chick chicken child chili chocolate christmas church circle city clay clear clock close cloth cloud coast coat
coconut coffee coin cold color compass computer cone cookie corn corner cover cow crab crown cube cup curtain cut cylinder dark daisy day deer
desert desk dessert dice dinosaur dish dog dolphin donkey donut door down dragon dress drink drum duck eagle ear earth egg eight elephant empty
engine eye face family far farm feather fence field fire fish five flag flat floor flower fly food foot for forest fork four fox frog from
front fruit full game garden garlic gate ghost giraffe girl glass globe glove goat gold good grape grass gray green grey ground group guitar
half hammer hand hat he head heart heavy helicopter her high hill his hole home horse hot house ice in inside insect instrument iron is island it
jacket jar juice jug key keyboard kite kitchen knife ladder lake lamp land large leaf leather left leg lemon less letter light lily lime line lion
lizard log long lot low machine made man many map mask meat melon metal middle mirror money monkey moon more moth mountain mouse mouth mug mushroom
nail narrow near neck nest new next night nine no nose not number nut ocean of off old olive on one onion open or orange other out outside oval
oven over owl paint pair palm pan panda paper park parrot part path pea peach peacock peanut pear pen pencil penguin people pepper person piano image piece
pig pillow pin pine pineapple pink pipe pizza plane plant plastic plate plum point pole pond pool pot potato pumpkin purple pyramid rabbit radio
railway rain raspberry rat red ribbon rice right ring ripe river road robot rock roof room root rope rose rough round rubber sail salad sand sandwich
saw scissors scooter sea seal seat see seed set seven shadow shark she sheep shell ship shirt shoe shop short side sign silver single sink sit six skin
sky slice small smooth snail snake snow soap soccer sock sofa soft some soup space spider spoon spotted spring square squirrel stack stamp stand star station
steel stem step stone store straw strawberry street string striped sugar summer sun sunflower sunglasses surface sweet swan table tail tall tea teddy ten tent
that the their there these thick thin this three tie tiger tile time tin tire to toad tomato tool toothbrush top tower town toy tractor traffic train
tree triangle trophy truck trumpet tube tulip turkey turtle two umbrella under up urban van vase vegetable vehicle view violet violin wall watch water
watermelon wave wet whale wheel whistle white who wide wild window wine wing winter with wolf woman wood wooden wool worm wreath yellow young zebra
""".split()


def captions(root: Path) -> Iterator[str]:
    """Every caption of the training split, and every description in the dense annotations."""
    train = root / "GranDf" / "annotations" / "train" / "GranDf_HA_GCG_train.json"
    for record in json.loads(train.read_text(encoding="utf-8")):
        yield record["caption"]


def wordings() -> Iterator[str]:
    """Our templates, often enough to count beside thousands of captions."""
    for name, value in vars(templates).items():
        if name.isupper() and isinstance(value, tuple):
            for text in value:
                for _ in range(20):
                    yield text.replace("{thing}", "a small red cube").replace("{region}", "region1")


def main() -> None:
    """Train and write."""
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    words = [" ".join(WORDS[begin : begin + 8]) for begin in range(len(WORDS) - 7)] * 3
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*captions(root), *wordings(), *words]),
        model_writer=model,
        vocab_size=VOCABULARY_SIZE,
        model_type="bpe",
        byte_fallback=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        split_digits=True,
        num_threads=1,
        minloglevel=2,
    )
    out.write_bytes(model.getvalue())


if __name__ == "__main__":
    main()
