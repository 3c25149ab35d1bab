"""A tiny model that has memorized one image: it answers with real text and masks after seconds of training."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from glamm.checkpoints import save_model
from glamm.config.model import ModelConfig
from glamm.geometry.preprocess import global_pixels, grounding_pixels
from glamm.models.glamm import GLaMM
from glamm.structures.batch import Batch
from glamm.structures.lineage import Lineage
from glamm.text.conversation import PROMPT_STYLES, Round, encode_conversation
from glamm.text.tokenizer import embedded_tokenizer

QUESTION = "What is in this image?"
ANSWER = "<p> a red ball </p> [SEG] and <p> a green box </p> [SEG] ."
WORDS = "a red ball and a green box."
BALL, BOX = (60, 60, 180, 180), (200, 120, 300, 220)
LINEAGE = Lineage(data={"shards": "sha256 of the shards"}, parameters={"max_steps": 1})

_STEPS = 45


def draw_image() -> Image.Image:
    """320 x 240: a red ball on the left, a green box on the right."""
    image = Image.new("RGB", (320, 240), (120, 170, 220))
    draw = ImageDraw.Draw(image)
    draw.ellipse(BALL, fill=(200, 40, 40))
    draw.rectangle(BOX, fill=(30, 120, 60))
    return image


def train_memorized_model(folder: Path) -> Path:
    """Train until the model has memorized the image, and write a model folder."""
    torch.manual_seed(0)
    tokenizer = embedded_tokenizer()
    model = GLaMM.from_config(ModelConfig.tiny(vocab_size=len(tokenizer)))
    batch = _batch(model.config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=_STEPS)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        model(batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    save_model(model.eval(), folder, tokenizer_model=tokenizer.model, lineage=LINEAGE)
    return folder


def _batch(config: ModelConfig) -> Batch:
    pixels = np.asarray(draw_image())
    grounding, resized = grounding_pixels(pixels, side=config.grounding_encoder.image_size)
    global_input = global_pixels(pixels, side=config.global_encoder.image_size, is_cropped=False)
    encoded = encode_conversation(
        [Round(QUESTION, ANSWER, seg_targets=((0,), (1,)))],
        tokenizer=embedded_tokenizer(),
        style=PROMPT_STYLES[config.prompt_style],
        max_tokens=200,
    )
    masks = np.stack([pixels[..., 0] > 150, (pixels[..., 1] == 120) & (pixels[..., 0] == 30)])
    ids = torch.tensor([encoded.input_ids])
    return Batch(
        global_pixels=torch.from_numpy(global_input)[None],
        grounding_pixels=torch.from_numpy(grounding)[None],
        input_ids=ids,
        labels=torch.tensor([encoded.labels]),
        attention_mask=torch.ones_like(ids, dtype=torch.bool),
        image_index=torch.zeros(1, dtype=torch.long),
        boxes_xyxy_unit=(torch.zeros(0, 4),),
        masks=(torch.from_numpy(masks),),
        resized_sizes=(resized,),
        original_sizes=((240, 320),),
        sample_ids=("memorized",),
    )
