"""Choosing a tool and filling in its arguments, or answering without one."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from ..items import Item, Message, Tool, assistant, choose, user, vary
from .words import CITIES, COLOURS, NAMES, PRODUCTS, several

NO_TOOL = "I have no tool for that."
CITY_WORDS = ("city", "location", "place", "town")
SETTINGS = several(
    "volume brightness temperature speed heating fan light alarm zoom contrast timer pressure"
)
TOPICS = several(
    "news traffic tides jokes recipes headlines lottery horoscope pollen parking sunrise sunset"
)
ROOMS = several("kitchen bedroom bathroom office garage hall attic cellar")
TASKS = several(
    "buy milk;call the bank;water the plants;feed the cat;pay the rent;send the letter;"
    "clean the car;book a table;take out the bins;wash the windows",
    ";",
)
LANGUAGES = several("French German Spanish Italian Dutch Polish Greek Turkish Korean Japanese")


@dataclass(frozen=True)
class Call:
    """A tool, a question that wants it, and the arguments it should be called with."""

    tool: Tool
    question: str
    arguments: dict[str, str | int]

    @property
    def name(self) -> str:
        return str(self.tool["function"]["name"])


def make_tool(name: str, description: str, /, **parameters: str) -> Tool:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {key: {"type": kind} for key, kind in parameters.items()},
                "required": list(parameters),
            },
        },
    }


def weather(rng: random.Random) -> Call:
    city, word = choose(rng, CITIES), choose(rng, CITY_WORDS)
    question = choose(
        rng,
        (
            "What is the weather in {c}?",
            "How is the weather in {c} today?",
            "Is it raining in {c}?",
            "Tell me the weather in {c}.",
        ),
    )
    tool = make_tool("get_weather", "Get the weather in a city", **{word: "string"})
    return Call(tool, question.format(c=city), {word: city})


def clock(rng: random.Random) -> Call:
    city, word = choose(rng, CITIES), choose(rng, CITY_WORDS)
    question = choose(
        rng, ("What time is it in {c}?", "Tell me the time in {c}.", "How late is it in {c}?")
    )
    tool = make_tool("get_time", "Get the current time in a city", **{word: "string"})
    return Call(tool, question.format(c=city), {word: city})


def setting(rng: random.Random) -> Call:
    thing, level = choose(rng, SETTINGS), rng.randint(1, 100)
    word = choose(rng, ("level", "value"))
    question = choose(
        rng, ("Set the {t} to {n}.", "Change the {t} to {n}.", "Please set the {t} to {n}.")
    )
    tool = make_tool(f"set_{thing}", f"Set the {thing}", **{word: "integer"})
    return Call(tool, question.format(t=thing, n=level), {word: level})


def topic(rng: random.Random) -> Call:
    thing, city = choose(rng, TOPICS), choose(rng, CITIES)
    word = choose(rng, CITY_WORDS)
    question = choose(rng, ("Get the {t} for {c}.", "Show me the {t} in {c}."))
    tool = make_tool(f"get_{thing}", f"Get the {thing} for a city", **{word: "string"})
    return Call(tool, question.format(t=thing, c=city), {word: city})


def email(rng: random.Random) -> Call:
    name, task = choose(rng, NAMES), choose(rng, TASKS)
    word = choose(rng, ("to", "name", "recipient"))
    question = choose(
        rng, ("Send {n} a message: {t}", "Write to {n}: {t}", "Send a message to {n}: {t}")
    )
    tool = make_tool("send_message", "Send a message", **{word: "string", "text": "string"})
    return Call(tool, question.format(n=name, t=task), {word: name, "text": task})


def reminder(rng: random.Random) -> Call:
    task, hour = choose(rng, TASKS), rng.randint(1, 23)
    question = choose(rng, ("Remind me at {h}:00 to {t}.", "At {h}:00, remind me to {t}."))
    tool = make_tool("add_reminder", "Add a reminder", text="string", hour="integer")
    return Call(tool, question.format(h=hour, t=task), {"text": task, "hour": hour})


def light(rng: random.Random) -> Call:
    room, state = choose(rng, ROOMS), choose(rng, ("on", "off"))
    question = choose(rng, ("Turn {s} the light in the {r}.", "Switch the light in the {r} {s}."))
    tool = make_tool("switch_light", "Switch a light on or off", room="string", state="string")
    return Call(tool, question.format(r=room, s=state), {"room": room, "state": state})


def paint(rng: random.Random) -> Call:
    colour = choose(rng, COLOURS)
    question = choose(
        rng,
        ("Make the background {c}.", "Change the page colour to {c}.", "Paint the page {c}."),
    )
    tool = make_tool("set_colour", "Set the colour of the page", colour="string")
    return Call(tool, question.format(c=colour), {"colour": colour})


def order(rng: random.Random) -> Call:
    product, n = choose(rng, PRODUCTS), rng.randint(2, 60)
    question = choose(rng, ("Order {n} {p}.", "Buy {n} {p} for me.", "I need {n} {p}."))
    tool = make_tool("order_product", "Order a product", product="string", quantity="integer")
    return Call(tool, question.format(n=n, p=product), {"product": product, "quantity": n})


def translate(rng: random.Random) -> Call:
    word, language = choose(rng, PRODUCTS), choose(rng, LANGUAGES)
    question = choose(rng, ("Translate {w} to {x}.", "What is the {x} word for {w}?"))
    tool = make_tool("translate", "Translate a word", text="string", language="string")
    return Call(tool, question.format(w=word, x=language), {"text": word, "language": language})


def calculator(rng: random.Random) -> Call:
    a, b, sign = rng.randint(11, 999), rng.randint(11, 999), choose(rng, ("+", "-", "*", "/"))
    question = choose(rng, ("What is {e}?", "Calculate {e}.", "Use the calculator: {e}"))
    expression = f"{a} {sign} {b}"
    tool = make_tool("calculate", "Calculate an expression", expression="string")
    return Call(tool, question.format(e=expression), {"expression": expression})


def route(rng: random.Random) -> Call:
    start, end = rng.sample(CITIES, 2)
    question = choose(
        rng, ("Find a train from {a} to {b}.", "How do I get from {a} to {b}?", "Route {a} to {b}")
    )
    tool = make_tool("find_route", "Find a route", origin="string", destination="string")
    return Call(tool, question.format(a=start, b=end), {"origin": start, "destination": end})


def find(rng: random.Random) -> Call:
    thing = choose(rng, PRODUCTS)
    word = choose(rng, ("query", "q"))
    question = choose(rng, ("Search for {t}.", "Look up {t}.", "Find {t} on the web."))
    tool = make_tool("search", "Search the web", **{word: "string"})
    return Call(tool, question.format(t=thing), {word: thing})


CALLS = (
    weather,
    weather,
    clock,
    setting,
    setting,
    topic,
    topic,
    email,
    reminder,
    light,
    paint,
    order,
    translate,
    calculator,
    route,
    find,
)
PLAIN = (
    ("Hello!", "Hello! How can I help you?"),
    ("Hi", "Hello! How can I help you?"),
    ("Thank you!", "You are welcome! 😀"),
    ("Thanks", "You are welcome! 😀"),
    ("Good morning!", "Good morning! ☀️"),
    ("Bye!", "Goodbye! 👋"),
    ("How are you?", "I am fine, thank you. And you?"),
)


def rendered_call(call: Call) -> str:
    body = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    return f"<tool_call>{body}</tool_call>"


def with_others(rng: random.Random, call: Call, include: bool) -> tuple[Tool, ...]:
    """One to three tools in any order, with or without the one that is wanted."""
    tools = [call.tool] if include else []
    seen = {call.name, call.tool["function"]["description"]}
    count = rng.choice((1, 2, 2, 3))
    while len(tools) < count:
        other = rng.choice(CALLS)(rng)
        named = {other.name, other.tool["function"]["description"]}
        if not named & seen:
            tools.append(other.tool)
            seen |= named
    rng.shuffle(tools)
    return tuple(tools)


def tool_choice(rng: random.Random) -> Item:
    """A call where a tool fits; a greeting or a refusal where none does."""
    call = rng.choice(CALLS)(rng)
    kind = rng.random()
    include = kind < 0.66
    while not include and call.name == "calculate":  # A sum needs no tool.
        call = rng.choice(CALLS)(rng)
    tools = with_others(rng, call, include)
    names = ",".join(sorted(str(tool["function"]["name"]) for tool in tools))
    question, answer = vary(rng, call.question), rendered_call(call)
    key = f"tool:{answer}"
    if kind > 0.9:
        question, answer = PLAIN[rng.randrange(len(PLAIN))]
        key = f"tool:{question}:{names}"
    elif not include:
        answer = NO_TOOL
        key = f"tool:none:{call.question}:{names}"
    return Item("tool_choice", (user(question),), answer, key, tools=tools)


def tool_result(rng: random.Random) -> Item:
    """Saying what a tool has returned."""
    kind = rng.randrange(4)
    city = choose(rng, CITIES)
    if kind == 0:
        call, degrees = weather(rng), rng.randint(1, 35)
        city = str(next(iter(call.arguments.values())))
        sky = choose(rng, ("sunny", "cloudy", "rainy", "windy", "foggy", "snowy"))
        result: dict[str, str | int] = {"temperature": degrees, "sky": sky}
        answer = f"It is {degrees} °C and {sky} in {city}."
    elif kind == 1:
        call = clock(rng)
        city = str(next(iter(call.arguments.values())))
        now = f"{rng.randint(1, 23)}:{rng.randint(10, 59)}"
        result, answer = {"time": now}, f"It is {now} in {city}."
    elif kind == 2:
        call = calculator(rng)
        number = rng.randint(2, 2000)
        result, answer = {"result": number}, f"The result is {number}."
    else:
        call = rng.choice((setting, email, reminder, light, paint, order))(rng)
        fine = rng.random() < 0.7
        result = {"status": "ok" if fine else "error"}
        answer = "Done." if fine else "Sorry, that did not work."
    shown = json.dumps(result)
    messages: tuple[Message, ...] = (
        user(call.question),
        assistant(rendered_call(call)),
        {"role": "tool", "content": shown},
    )
    first = rendered_call(call)
    tools = with_others(rng, call, True)
    return Item(
        "tool_result", messages, answer, f"result:{first}:{shown}", (f"tool:{first}",), tools
    )
