"""The texts that models are asked to work on. The answers are reported and never judged; that there is one, is."""

from __future__ import annotations

from dataclasses import dataclass

CHAT_PROMPT = "What is the capital of France? Answer in one sentence."
BASE_PROMPT = "The capital of France is"
# Asks of a model that fills spans, as T5 does, and of one that rewrites its input alike.
SPAN_PROMPT = "The capital of France is <extra_id_0>."
MASKED_PROMPT = "The capital of France is {mask}."


@dataclass(frozen=True)
class Paragraph:
    """Plain text of no special subject, long enough for a mean and short enough for a CPU.

    `left_out` are two phrases of it, in their order, for a model that fills spans.
    """

    language: str
    text: str
    left_out: tuple[str, str]


ENGLISH = Paragraph(
    "English",
    "The old bakery at the end of the street opens before sunrise. By the time the first bus arrives, the windows are "
    "already warm and the smell of fresh bread has reached the square. Most customers come for the same thing every "
    "morning: a small loaf, a cup of coffee, and a few minutes of talk about the weather. On Saturdays the line goes "
    "around the corner, because the owner's daughter makes the best apple cake in town.",
    ("before sunrise", "fresh bread"),
)
CHINESE = Paragraph(
    "Chinese",
    "街尾的老面包店在日出之前就开门了。第一班公交车到站的时候，橱窗已经暖和起来，新鲜面包的香味飘到了广场上。"
    "大多数客人每天早上来买的都是同样的东西：一个小面包、一杯咖啡，再聊上几分钟天气。"
    "到了星期六，队伍会一直排到街角，因为老板的女儿做的苹果蛋糕是全城最好吃的。",
    ("日出之前", "新鲜面包"),
)

RELATED = ("A man is playing a guitar on the stage.", "Somebody performs music with a guitar.")
UNRELATED = "The stock market fell sharply after the announcement."
# A sentence, one that means about the same in other words, and one that has some of its words and means another thing.
NEAR_AND_FAR = (
    ("The child fell asleep in the car.", "On the drive the boy began to sleep.", "The car was sold to a dealer."),
    ("It will rain all day tomorrow.", "Bad weather is expected the next day.", "Tomorrow the shop opens at nine."),
    ("The doctor gave her some medicine.", "A physician prescribed pills.", "The doctor gave a speech on economics."),
    ("He lost his job at the factory.", "The worker was dismissed.", "He found his keys at the factory."),
    ("The bank lends money to farmers.", "Loans are given for agriculture.", "Farmers walked along the river bank."),
)

QUERY = "How do I bake bread at home?"
RELEVANT = (
    "To bake bread, mix flour, water, salt and yeast, let the dough rise, then bake it in a hot oven for 35 minutes."
)
IRRELEVANT = "The football match was postponed because of heavy rain in the northern part of the country."
# How a language model that ranks is asked: the first where it has a chat template, both in one where it has none.
RANKING_TASK = 'Decide whether the document answers the query. Say only "yes" or "no".'
RANKING_PAIR = "<Query>: {query}\n<Document>: {document}"

QUESTION = "Where does Maria work?"
CONTEXT = "Maria lives in a small village near the coast. She works in a bakery on the market square."
OTHER_CONTEXT = "Maria is an astronomer. After her studies she moved north and works at an observatory in Norway."
