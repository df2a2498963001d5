import re
from pathlib import Path

from catfish_operator.plugin.advice import ADVICE, OTHERWISE
from catfish_operator.reasons import STALLED

PAGE = (Path(__file__).parents[3] / "docs" / "kubectl-catfish.md").read_text()


def test_every_reason_for_being_stalled_has_a_sentence_that_says_what_to_do():
    assert not STALLED.keys() - ADVICE.keys()


def test_each_is_one_sentence_in_ordinary_words():
    for sentence in [*ADVICE.values(), OTHERWISE]:
        assert re.fullmatch(r"[A-Z][^\n]*\.", sentence)


def test_the_page_lists_the_same():
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE)) == ADVICE
