"""Templates of questions and short answers. Their number and form are those of the release, the wording is ours.

`{thing}` is replaced by an expression or a class in lower case, `{region}` by `region1 <bbox>`.
"""

GROUNDED_CONVERSATION_QUESTIONS = (
    "Describe the picture in detail and segment what you name.",
    "What is in this picture? Give the mask of each thing in your answer.",
    "Tell me about this image, with a segmentation mask for every phrase.",
    "Explain what the picture shows and mark each part with its mask.",
    "Write a caption for the image with masks for the things in it.",
    "Go through the picture and ground each phrase with a mask.",
)

SEGMENTATION_QUESTIONS = tuple(
    wording + end
    for wording in (
        "Segment {thing}",
        "Please mark {thing} in the picture",
        "Show me the mask of {thing}",
        "Find {thing} and segment it",
        "I need a mask of {thing}",
        "Point out {thing} with a mask",
        "Outline {thing} in this image",
        "Which pixels belong to {thing}",
    )
    for end in ("", ".")
)

SEGMENTATION_ANSWERS = (
    "It is [SEG].",
    "Here it is: [SEG].",
    "The mask is [SEG].",
    "You find it here: [SEG].",
    "[SEG].",
)

REGION_QUESTIONS = (
    "Describe {region}.",
    "What is in {region}?",
    "What do you see in {region}?",
    "Tell me what {region} shows.",
    "Give a short description of {region}.",
    "Name what is inside {region}.",
    "What does {region} contain?",
    "Say in a few words what {region} is.",
    "Caption {region}.",
    "How would you describe {region}?",
    "Look at {region}. What is it?",
    "Please describe the area of {region}.",
    "Which object is in {region}?",
    "What is shown at {region}?",
    "Put {region} into words.",
    "I would like to know what {region} is.",
    "Identify {region}.",
    "Explain what is visible in {region}.",
    "What can be seen at {region}?",
    "Write a phrase for {region}.",
)

CAPTION_QUESTIONS = (
    "Describe the image.",
    "What does the picture show?",
    "Write a caption for this image.",
    "What is going on in this picture?",
    "Tell me about the image.",
    "Give a short description of the picture.",
    "What can you see here?",
    "Summarise this image in words.",
    "Describe what is in the photo.",
    "Caption this picture.",
    "What is this a picture of?",
    "Put the image into words.",
    "Describe the scene.",
    "Say what the image shows.",
    "What do you see in the image?",
    "Explain the picture briefly.",
    "Look at the image and describe it.",
)

RELEASE_GCG_QUESTION = (
    "Could you please give me a detailed description of the image? Please respond with interleaved "
    "    segmentation masks for the corresponding parts of the answer."
)
"""The question of the GCG benchmark for released weights.

Upstream: a line continuation inside the string leaves five blanks between "interleaved" and "segmentation".
"""
