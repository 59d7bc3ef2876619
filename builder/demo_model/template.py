"""The chat template, and the same rendering in plain Python for the data.

Training renders hundreds of thousands of conversations and needs to know which
part each token comes from, which Jinja does not tell. A test holds the two equal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .items import Message, Tool

JINJA = (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8")

END_OF_TEXT = "<|endoftext|>"
START = "<|im_start|>"
END = "<|im_end|>"
ASSISTANT_HEAD = f"{START}assistant\n"


def system_text(messages: Sequence[Message], tools: Sequence[Tool]) -> str | None:
    """The content of the system turn: the prompt, the tools, both or neither."""
    parts = [messages[0]["content"]] if messages[0]["role"] == "system" else []
    if tools:
        parts.append("Tools:")
        parts += [json.dumps(tool["function"], ensure_ascii=False) for tool in tools]
    return "\n".join(parts) if parts else None


def turns(messages: Sequence[Message], tools: Sequence[Tool]) -> list[tuple[str, str]]:
    """Role and content of every turn as rendered."""
    head = system_text(messages, tools)
    start = [("system", head)] if head is not None else []
    rest = messages[1:] if messages[0]["role"] == "system" else messages
    return start + [(message["role"], message["content"]) for message in rest]


def render(messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
    """The prompt for the next answer."""
    shown = (f"{START}{role}\n{content}{END}\n" for role, content in turns(messages, tools))
    return "".join(shown) + ASSISTANT_HEAD
