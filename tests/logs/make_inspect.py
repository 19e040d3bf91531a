"""Makes inspect.eval: `python make_inspect.py FOLDER`, with inspect-ai installed."""

import shutil
import sys
from pathlib import Path

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessageAssistant,
    ContentReasoning,
    ContentText,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.scorer import choice
from inspect_ai.solver import multiple_choice

OPTIONS = ["liver", "pancreas", "spleen"]
NAME = "mockllm/model"


def output(text, reason="stop", reasoning=None):
    content = text if reasoning is None else [ContentReasoning(reasoning=reasoning), ContentText(text=text)]
    made = ModelOutput.from_message(ChatMessageAssistant(content=content), stop_reason=reason)
    made.model, made.usage = (
        NAME,
        ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2),
    )  # counts nothing
    return made


def main(folder):
    outputs = [
        output("Bile is made in the liver.\n\nANSWER: A"),
        output("Insulin is made in the pancreas.\n\nANSWER: B", reasoning="Which organ makes insulin?"),
        output("Bile is made in the spleen.\n\nANSWER: C"),
        output("Insulin is made in the", "max_tokens"),
    ]
    asked = [
        Sample(id="bile", input="Where is bile made?", choices=OPTIONS, target="A"),
        Sample(id="insulin", input="Where is insulin made?", choices=OPTIONS, target="B"),
    ]
    task = Task(
        MemoryDataset(asked), solver=multiple_choice(cot=True), scorer=choice(), epochs=2, name="organs"
    )
    model = get_model(NAME, custom_outputs=outputs)
    (log,) = evaluate(task, model=model, log_dir=str(folder / "made"), temperature=0.7, max_tokens=64,
                      max_connections=1, max_samples=1, display="none")  # fmt: skip
    shutil.move(log.location.removeprefix("file://"), folder / "inspect.eval")
    shutil.rmtree(folder / "made")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
