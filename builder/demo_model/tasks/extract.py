"""Reading fields out of a sentence into JSON."""

from __future__ import annotations

import json
import random

from ..items import Item, ask, choose
from .dates import DAYS, MONTHS
from .words import CITIES, COLOURS, JOBS, NAMES, PRODUCTS

SENTENCES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("name", "age"), ("{name} is {age} years old.", "{name} turned {age} today.")),
    (("name", "city"), ("{name} lives in {city}.", "In {city} there lives a person named {name}.")),
    (("name", "job"), ("{name} works as a {job}.", "{name} is a {job}.")),
    (
        ("name", "age", "city"),
        ("{name} is {age} years old and lives in {city}.", "{name}, {age}, from {city}."),
    ),
    (
        ("name", "job", "city"),
        ("{name} is a {job} in {city}.", "{name} works in {city} as a {job}."),
    ),
    (
        ("product", "quantity"),
        ("Please send me {quantity} {product}.", "I ordered {quantity} {product}."),
    ),
    (
        ("product", "quantity", "price"),
        (
            "I bought {quantity} {product} for {price} euros.",
            "{quantity} {product} cost {price} euros.",
        ),
    ),
    (
        ("day", "time", "city"),
        ("We meet on {day} at {time} in {city}.", "On {day} at {time} I will be in {city}."),
    ),
    (("from", "to"), ("A train from {from} to {to}.", "I fly from {from} to {to}.")),
    (("product", "colour"), ("I want {colour} {product}.", "The {product} are {colour}.")),
    (("name", "email"), ("{name} can be reached at {email}.", "Write to {name} at {email}.")),
    (("day", "month"), ("The party is on {day} {month}.", "It happened on {day} {month}.")),
)
REQUESTS = (
    "Extract {fields} as JSON: {s}",
    "Extract {fields} as JSON from this text: {s}",
    "Give me {fields} as JSON. {s}",
    "{s} Extract {fields} as JSON.",
    "Return a JSON object with {fields}: {s}",
)


def value(rng: random.Random, field: str, others: dict[str, str | int]) -> str | int:
    """A value for a field; day means a number where a month goes with it."""
    if field in ("age", "quantity"):
        return rng.randint(2, 99)
    if field == "price":
        return rng.randint(2, 300)
    if field == "time":
        return f"{rng.randint(1, 23)}:{rng.choice(('00', '15', '30', '45'))}"
    if field == "email":
        return f"{str(others['name']).lower()}@{choose(rng, ('mail', 'post', 'example'))}.com"
    pools = {
        "name": NAMES[:-4],
        "city": CITIES,
        "from": CITIES,
        "to": CITIES,
        "job": JOBS,
        "product": PRODUCTS,
        "colour": COLOURS,
        "day": DAYS,
        "month": tuple(MONTHS),
    }
    return choose(rng, pools[field])


def spoken(fields: tuple[str, ...]) -> str:
    return ", ".join(fields[:-1]) + " and " + fields[-1]


def extract(rng: random.Random) -> Item:
    fields, patterns = SENTENCES[rng.randrange(len(SENTENCES))]
    values: dict[str, str | int] = {}
    for field in fields:
        values[field] = value(rng, field, values)
    if fields == ("day", "month"):
        values["day"] = rng.randint(1, 28)
    sentence = choose(rng, patterns).format(**values)
    text = choose(rng, REQUESTS).format(fields=spoken(fields), s=sentence)
    answer = json.dumps(values, ensure_ascii=False)
    return ask("extract", text, answer, answer)
