"""Choosing a tool and filling in its arguments, or answering without one.

What a function is called and what its parameters are called changes from chat to chat, so
that names have to be read from the tools and cannot be learnt. A problem is a function with
its values, whatever they are called: one that is held out is never met under any name, nor
asked where the tool is missing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from ..items import Item, Message, Tool, assistant, choose, user, vary
from .words import CITIES, COLOURS, NAMES, PRODUCTS, several

Value = str | int
Values = tuple[Value, ...]

NO_TOOL = "I have no tool for that."
USUAL_NAME = 0.6
"""Share of the tools that are called by the usual one of their names."""
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
class Parameter:
    """A parameter: its type in JSON Schema, and what it may be called."""

    type: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Function:
    """Something that tools can do: names and descriptions to draw from, the usual ones first.

    ``questions`` are formatted with the values, which are in the order of the parameters.
    ``returns`` draws a result and what is to be said of it.
    """

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    questions: tuple[str, ...]
    values: Callable[[random.Random], Values]
    returns: Callable[[random.Random, Values], tuple[dict[str, Value], str]] | None = None

    @property
    def name(self) -> str:
        return self.names[0]

    def key(self, values: Values) -> str:
        """The name of the problem: this function called with these values."""
        return f"tool:{self.name}:{json.dumps(values, ensure_ascii=False)}"


@dataclass(frozen=True)
class Offer:
    """A function as one chat's tool: under these names."""

    function: Function
    tool: Tool

    @property
    def name(self) -> str:
        return str(self.tool["function"]["name"])

    def call(self, values: Values) -> str:
        """The assistant's turn that calls it."""
        names = self.tool["function"]["parameters"]["properties"]
        arguments = dict(zip(names, values, strict=True))
        body = json.dumps({"name": self.name, "arguments": arguments}, ensure_ascii=False)
        return f"<tool_call>{body}</tool_call>"


CITY = Parameter("string", several("city location place town area where"))
LEVEL = Parameter("integer", several("level value amount number to setting"))
TEXT = Parameter("string", several("text content message body"))


def named(verbs: str, noun: str) -> tuple[str, ...]:
    """``get_weather``, ``fetch_weather``, ``getWeather``, ``weather_get``, ``weather``, …"""
    usual, *others = several(verbs)
    snake = tuple(f"{verb}_{noun}" for verb in (usual, *others))
    camel = tuple(f"{verb}{noun.title()}" for verb in (usual, *others))
    return (*snake, *camel, f"{noun}_{usual}", noun, f"{snake[0]}_v2")


def weather(rng: random.Random, values: Values) -> tuple[dict[str, Value], str]:
    degrees = rng.randint(1, 35)
    sky = choose(rng, ("sunny", "cloudy", "rainy", "windy", "foggy", "snowy"))
    return {"temperature": degrees, "sky": sky}, f"It is {degrees} °C and {sky} in {values[0]}."


def clock(rng: random.Random, values: Values) -> tuple[dict[str, Value], str]:
    now = f"{rng.randint(1, 23)}:{rng.randint(10, 59)}"
    return {"time": now}, f"It is {now} in {values[0]}."


def result(rng: random.Random, values: Values) -> tuple[dict[str, Value], str]:
    number = rng.randint(2, 2000)
    return {"result": number}, f"The result is {number}."


def status(rng: random.Random, values: Values) -> tuple[dict[str, Value], str]:
    if rng.random() < 0.7:
        return {"status": "ok"}, "Done."
    return {"status": "error"}, "Sorry, that did not work."


def city(rng: random.Random) -> Values:
    return (choose(rng, CITIES),)


def expression(rng: random.Random) -> Values:
    sign = choose(rng, ("+", "-", "*", "/"))
    return (f"{rng.randint(11, 999)} {sign} {rng.randint(11, 999)}",)


def setting(thing: str) -> Function:
    return Function(
        named("set change adjust", thing),
        (f"Set the {thing}", f"Change the {thing}"),
        (LEVEL,),
        tuple(f"{verb} the {thing} to {{}}." for verb in ("Set", "Change", "Please set")),
        lambda rng: (rng.randint(1, 100),),
        status,
    )


def topic(thing: str) -> Function:
    return Function(
        named("get fetch show", thing),
        (f"Get the {thing} for a city", f"The {thing} in a city"),
        (CITY,),
        (f"Get the {thing} for {{}}.", f"Show me the {thing} in {{}}."),
        city,
    )


WEATHER = Function(
    named("get fetch check", "weather"),
    ("Get the weather in a city", "The weather in a place"),
    (CITY,),
    (
        "What is the weather in {}?",
        "How is the weather in {} today?",
        "Is it raining in {}?",
        "Tell me the weather in {}.",
    ),
    city,
    weather,
)
CLOCK = Function(
    named("get fetch tell", "time"),
    ("Get the current time in a city", "The time in a place"),
    (CITY,),
    ("What time is it in {}?", "Tell me the time in {}.", "How late is it in {}?"),
    city,
    clock,
)
MESSAGE = Function(
    named("send write post", "message"),
    ("Send a message", "Send a message to someone"),
    (Parameter("string", several("to name recipient person")), TEXT),
    ("Send {} a message: {}", "Write to {}: {}", "Send a message to {}: {}"),
    lambda rng: (choose(rng, NAMES), choose(rng, TASKS)),
    status,
)
REMINDER = Function(
    named("add create set", "reminder"),
    ("Add a reminder", "Remind the user of something"),
    (
        Parameter("string", several("text task title what")),
        Parameter("integer", several("hour time at when")),
    ),
    ("Remind me at {1}:00 to {0}.", "At {1}:00, remind me to {0}."),
    lambda rng: (choose(rng, TASKS), rng.randint(1, 23)),
    status,
)
LIGHT = Function(
    named("switch turn toggle", "light"),
    ("Switch a light on or off", "Turn the light of a room on or off"),
    (
        Parameter("string", several("room place where")),
        Parameter("string", several("state mode to")),
    ),
    ("Turn {1} the light in the {0}.", "Switch the light in the {0} {1}."),
    lambda rng: (choose(rng, ROOMS), choose(rng, ("on", "off"))),
    status,
)
COLOUR = Function(
    named("set change paint", "colour"),
    ("Set the colour of the page", "Change the colour of the page"),
    (Parameter("string", several("colour color name value")),),
    ("Make the background {}.", "Change the page colour to {}.", "Paint the page {}."),
    lambda rng: (choose(rng, COLOURS),),
    status,
)
ORDER = Function(
    named("order buy", "product"),
    ("Order a product", "Buy something in the shop"),
    (
        Parameter("string", several("product item name")),
        Parameter("integer", several("quantity count number amount")),
    ),
    ("Order {1} {0}.", "Buy {1} {0} for me.", "I need {1} {0}."),
    lambda rng: (choose(rng, PRODUCTS), rng.randint(2, 60)),
    status,
)
TRANSLATION = Function(
    several("translate translate_word translation translateText get_translation"),
    ("Translate a word", "Translate a text"),
    (
        Parameter("string", several("text word source")),
        Parameter("string", several("language to target")),
    ),
    ("Translate {} to {}.", "What is the {1} word for {0}?"),
    lambda rng: (choose(rng, PRODUCTS), choose(rng, LANGUAGES)),
)
CALCULATION = Function(
    several("calculate calculator compute evaluate do_sum runCalculation"),
    ("Calculate an expression", "Work out an expression"),
    (Parameter("string", several("expression input formula sum")),),
    ("What is {}?", "Calculate {}.", "Use the calculator: {}"),
    expression,
    result,
)
ROUTE = Function(
    named("find get plan", "route"),
    ("Find a route", "Find a train from one city to another"),
    (
        Parameter("string", several("origin from start")),
        Parameter("string", several("destination to end")),
    ),
    ("Find a train from {} to {}.", "How do I get from {} to {}?", "Route {} to {}"),
    lambda rng: tuple(rng.sample(CITIES, 2)),
)
SEARCH = Function(
    several("search web_search search_web lookup searchWeb find"),
    ("Search the web", "Look something up on the web"),
    (Parameter("string", several("query q text term")),),
    ("Search for {}.", "Look up {}.", "Find {} on the web."),
    lambda rng: (choose(rng, PRODUCTS),),
)

FAMILIES: tuple[tuple[int, tuple[Function, ...]], ...] = (
    (2, (WEATHER,)),
    (1, (CLOCK,)),
    (2, tuple(setting(thing) for thing in SETTINGS)),
    (2, tuple(topic(thing) for thing in TOPICS)),
    *((1, (function,)) for function in (MESSAGE, REMINDER, LIGHT, COLOUR, ORDER)),
    *((1, (function,)) for function in (TRANSLATION, CALCULATION, ROUTE, SEARCH)),
)
"""Functions of a kind, and how often one of them is drawn."""

PLAIN = (
    ("Hello!", "Hello! How can I help you?"),
    ("Hi", "Hello! How can I help you?"),
    ("Thank you!", "You are welcome! 😀"),
    ("Thanks", "You are welcome! 😀"),
    ("Good morning!", "Good morning! ☀️"),
    ("Bye!", "Goodbye! 👋"),
    ("How are you?", "I am fine, thank you. And you?"),
)


def draw(rng: random.Random) -> Function:
    weights = [weight for weight, _ in FAMILIES]
    return rng.choice(rng.choices(FAMILIES, weights)[0][1])


def offer(rng: random.Random, function: Function) -> Offer:
    """The function as a tool: by its usual names, or by others."""
    usual = rng.random() < USUAL_NAME
    properties: dict[str, dict[str, str]] = {}
    for parameter in function.parameters:
        free = [name for name in parameter.names if name not in properties]
        properties[choose(rng, free)] = {"type": parameter.type}
    tool: Tool = {
        "type": "function",
        "function": {
            "name": function.name if usual else choose(rng, function.names),
            "description": choose(rng, function.descriptions),
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(properties),
            },
        },
    }
    return Offer(function, tool)


def offers(rng: random.Random, wanted: Function | None = None) -> list[Offer]:
    """One to three tools in any order, the wanted one among them."""
    functions = [wanted] if wanted else []
    count = rng.choice((1, 2, 2, 3))
    while len(functions) < count:
        other = draw(rng)
        if other not in functions:
            functions.append(other)
    rng.shuffle(functions)
    while True:
        drawn = [offer(rng, function) for function in functions]
        if len({tool.name for tool in drawn}) == count:
            return drawn


@dataclass(frozen=True)
class Turn:
    """A question, its answer, the problem's key and those of problems it tells of."""

    question: str
    answer: str
    key: str
    also: tuple[str, ...] = ()
    after: tuple[Message, ...] = ()
    """The call's result and what was said of it."""


def turn(rng: random.Random, tools: list[Offer]) -> Turn:
    """Something to call a tool for; or a greeting, or something that no tool does."""
    kind = rng.random()
    names = ",".join(sorted(tool.function.name for tool in tools))
    if kind > 0.9:
        question, answer = PLAIN[rng.randrange(len(PLAIN))]
        return Turn(question, answer, f"tool:{question}:{names}")
    if kind > 0.66:
        offered = {tool.function.name for tool in tools}
        function = draw(rng)
        while function is CALCULATION or function.name in offered:  # A sum needs no tool.
            function = draw(rng)
        values = function.values(rng)
        question = choose(rng, function.questions).format(*values)
        key = f"tool:none:{question}:{names}"
        return Turn(vary(rng, question), NO_TOOL, key, (function.key(values),))
    tool = rng.choice(tools)
    function = tool.function
    values = function.values(rng)
    question = vary(rng, choose(rng, function.questions).format(*values))
    after: tuple[Message, ...] = ()
    if function.returns and rng.random() < 0.5:
        returned, said = function.returns(rng, values)
        after = ({"role": "tool", "content": json.dumps(returned)}, assistant(said))
    return Turn(question, tool.call(values), function.key(values), after=after)


def tool_choice(rng: random.Random) -> Item:
    """A call where a tool fits; a greeting or a refusal where none does. Some after others."""
    tools = offers(rng)
    *earlier, last = (turn(rng, tools) for _ in range(rng.choice((1, 1, 2, 3, 3))))
    messages: list[Message] = []
    also = [*last.also]
    for past in earlier:
        messages += [user(past.question), assistant(past.answer), *past.after]
        also += [past.key, *past.also]
    return Item(
        "tool_choice",
        (*messages, user(last.question)),
        last.answer,
        last.key,
        tuple(also),
        tuple(tool.tool for tool in tools),
    )


def tool_result(rng: random.Random) -> Item:
    """Saying what a tool has returned."""
    function = rng.choice((WEATHER, CLOCK, CALCULATION, draw(rng)))
    while function.returns is None:
        function = draw(rng)
    tools = offers(rng, function)
    called = next(tool for tool in tools if tool.function is function)
    values = function.values(rng)
    returned, said = function.returns(rng, values)
    shown = json.dumps(returned)
    messages: tuple[Message, ...] = (
        user(choose(rng, function.questions).format(*values)),
        assistant(called.call(values)),
        {"role": "tool", "content": shown},
    )
    key = function.key(values)
    offered = tuple(tool.tool for tool in tools)
    return Item("tool_result", messages, said, f"result:{key}:{shown}", (key,), offered)
