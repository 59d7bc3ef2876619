"""All tasks, with the share of training that each gets."""

from __future__ import annotations

from ..items import Generator
from .arithmetic import addition, compare, subtraction, times
from .chat import identity, memory, small_talk
from .dates import calendar, weekday
from .extract import extract
from .fallback import fallback
from .followups import follow_up
from .letters import counting, reversing, spelling
from .obedience import obedience
from .project import project
from .sorting import sort_numbers, sort_words
from .stories import story
from .text_edits import echo, words
from .tool_calls import tool_choice, tool_result
from .units import units

TASKS: dict[str, tuple[Generator, float]] = {
    "small_talk": (small_talk, 5.0),
    "identity": (identity, 3.0),
    "memory": (memory, 2.5),
    "project": (project, 5.0),
    "fallback": (fallback, 3.0),
    "addition": (addition, 11.0),
    "subtraction": (subtraction, 11.0),
    "times": (times, 6.0),
    "compare": (compare, 3.0),
    "units": (units, 6.0),
    "weekdays": (weekday, 6.0),
    "calendar": (calendar, 5.0),
    "spelling": (spelling, 5.0),
    "counting": (counting, 5.0),
    "reversing": (reversing, 5.0),
    "sort_numbers": (sort_numbers, 5.0),
    "sort_words": (sort_words, 6.0),
    "extract": (extract, 4.0),
    "tool_choice": (tool_choice, 4.0),
    "tool_result": (tool_result, 1.5),
    "story": (story, 2.0),
    "echo": (echo, 2.5),
    "words": (words, 4.0),
    "obedience": (obedience, 4.0),
    "follow_up": (follow_up, 5.0),
}
