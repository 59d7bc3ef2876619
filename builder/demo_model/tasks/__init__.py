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
    "small_talk": (small_talk, 1.5),
    "identity": (identity, 1.5),
    "memory": (memory, 1.0),
    "project": (project, 2.0),
    "fallback": (fallback, 1.5),
    "addition": (addition, 11.0),
    "subtraction": (subtraction, 11.0),
    "times": (times, 6.0),
    "compare": (compare, 4.0),
    "units": (units, 5.0),
    "weekdays": (weekday, 6.0),
    "calendar": (calendar, 5.0),
    "spelling": (spelling, 8.0),
    "counting": (counting, 8.0),
    "reversing": (reversing, 9.0),
    "sort_numbers": (sort_numbers, 7.0),
    "sort_words": (sort_words, 10.0),
    "extract": (extract, 4.0),
    "tool_choice": (tool_choice, 12.0),
    "tool_result": (tool_result, 0.4),
    "story": (story, 0.7),
    "echo": (echo, 5.0),
    "words": (words, 1.5),
    "obedience": (obedience, 6.0),
    "follow_up": (follow_up, 5.0),
}
