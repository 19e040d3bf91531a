"""What people are asked of a line of reasoning: three statements on how it explains, one on what it costs."""

from __future__ import annotations

STATEMENTS = {
    "predictability": "From the reasoning alone I could have told which answer it would give.",
    "comprehensibility": "I understood each part of the reasoning.",
    "faithfulness": "The answer follows from the reasoning.",
    "load": "Following the reasoning took me a lot of effort.",
}
"""Scale to statement, in the order in which they stand on a form; higher means more agreement."""
INTERPRETABILITY = ("predictability", "comprehensibility", "faithfulness")
"""The scales that are counted together. `load` is an axis of its own, and higher is worse."""
LOAD = "load"
POINTS = ("strongly disagree", "disagree", "neither", "agree", "strongly agree")
"""What 1 to 5 stand for."""
AGREE = 4
"""From here on somebody agrees."""
CHECK = "To show that you read every line, please choose {value} here."
OUTCOMES = {"interpretability": INTERPRETABILITY, **{name: (name,) for name in STATEMENTS}}
"""What effects are estimated of, and the scales behind each."""
CONSENT = (
    "You are invited to take part in a study of how people read reasoning written by language models. You "
    "will read {items} lines of reasoning and rate each of them on short scales.",
    "Taking part is voluntary. You may stop at any time by closing this page; what you have not exported is "
    "then not used. The form asks for no name and no personal data, and sends nothing: your ratings stay in "
    "this browser until you export them and hand them in.",
    "The ratings are analysed together with those of other participants and may be published without "
    "anything that points to you. Some texts may contain mistakes; do not take them for advice.",
)
"""What a participant agrees to, paragraph by paragraph, where no text of one's own is given."""
