"""Second turns that only make sense after the first."""

from __future__ import annotations

import random

from ..items import Item, Message, assistant, choose, user, vary
from .arithmetic import ADD, sum_key
from .dates import DAY_AFTER, DAYS, MONTH_NAMES, counted_days
from .sorting import DOWN, UP
from .units import CONVERT
from .words import listed


def _item(question: str, first: str, then: str, answer: str, key: str, also: str) -> Item:
    messages: tuple[Message, ...] = (user(question), assistant(first), user(then))
    return Item("follow_up", messages, answer, f"follow_up:{key}", (also,))


def after_sum(rng: random.Random) -> Item:
    """A sum, then something done to its result."""
    a, b = rng.randint(1, 40), rng.randint(1, 9)
    question, total = vary(rng, choose(rng, ADD).format(a=a, b=b)), a + b
    also = f"addition:{question}" if a < 10 and b < 10 else f"addition:{sum_key(a, b)}"
    if rng.random() < 0.5:
        then = choose(rng, ("And doubled?", "Now double it.", "And times two?", "Twice that?"))
        return _item(question, str(total), then, str(2 * total), f"double:{total}:{a}", also)
    c = rng.randint(1, 9)
    if rng.random() < 0.5:
        then = choose(rng, (f"And plus {c}?", f"Add {c} to that.", f"Plus {c}?", f"Now add {c}."))
        return _item(question, str(total), then, str(total + c), f"{total}+{c}:{a}", also)
    c = min(c, total)
    then = choose(rng, (f"And minus {c}?", f"Subtract {c} from that.", f"Minus {c}?"))
    return _item(question, str(total), then, str(total - c), f"{total}-{c}:{a}", also)


LENGTHS = (("km", "m", 1000), ("m", "cm", 100), ("cm", "mm", 10))
CHAINS = (
    (("km", 1), ("m", 1000), ("cm", 100000)),
    (("m", 1), ("cm", 100), ("mm", 1000)),
    (("kg", 1), ("g", 1000), ("mg", 1000000)),
)


def after_unit(rng: random.Random) -> Item:
    """A conversion, then the same amount in a third unit."""
    chain, n = CHAINS[rng.randrange(len(CHAINS))], rng.randint(2, 99)
    (u, _), (v, by), (w, to) = chain
    if rng.random() < 0.5 and chain[0][0] != "kg":
        (v, by), (w, to) = (w, to), (v, by)
    question = vary(rng, choose(rng, CONVERT).format(n=n, u=u, v=v))
    then = choose(rng, (f"And in {w}?", f"In {w}?", f"Now in {w}.", f"How much is that in {w}?"))
    first = f"{n * by} {v}"
    return _item(question, first, then, f"{n * to} {w}", f"{n}{u}{w}", f"units:{n} {u} {v}")


def after_day(rng: random.Random) -> Item:
    day, n = rng.randrange(7), rng.randint(2, 7)
    question = vary(rng, choose(rng, DAY_AFTER).format(d=DAYS[day], n=n))
    first = (day + n) % 7
    step, thens = rng.choice(
        (
            (1, ("And the day after that?", "And a day later?", "And the next day?")),
            (-1, ("And the day before that?", "And a day earlier?")),
        )
    )
    then = choose(rng, thens)
    answer = DAYS[(first + step) % 7]
    return _item(
        question,
        counted_days(day, n),
        then,
        answer,
        f"{DAYS[day]}+{n}{step:+d}",
        f"weekdays:{DAYS[day]}{n:+d}",
    )


def after_month(rng: random.Random) -> Item:
    i, step = rng.randrange(12), rng.choice((1, -1))
    word = "after" if step > 0 else "before"
    question = vary(rng, f"Which month comes {word} {MONTH_NAMES[i]}?")
    first = MONTH_NAMES[(i + step) % 12]
    then = vary(rng, choose(rng, ("And after that?", "And the month after that?")))
    answer = MONTH_NAMES[(i + step + 1) % 12]
    key = f"{question}:{then}"
    return _item(question, first, then, answer, key, f"calendar:{question}")


def after_sort(rng: random.Random) -> Item:
    """A sorted list, then the other way round, or its ends."""
    values = rng.sample(range(1, 100), 3)
    ordered = sorted(values)
    down = rng.random() < 0.4
    pattern = choose(rng, DOWN if down else UP)
    question = vary(rng, pattern.format(x=listed([str(v) for v in values])))
    key = listed([str(v) for v in ordered])
    shown = ordered[::-1] if down else ordered
    first = listed([str(v) for v in shown])
    kind = rng.random()
    if kind < 0.5:
        then = choose(rng, ("And in reverse?", "Now the other way round.", "And reversed?"))
        answer = listed([str(v) for v in shown[::-1]])
    elif kind < 0.75:
        then, answer = choose(rng, ("Which is the largest?", "And the largest?")), str(ordered[-1])
    else:
        then, answer = choose(rng, ("Which is the smallest?", "And the smallest?")), str(ordered[0])
    return _item(question, first, then, answer, f"sort:{key}", f"sort_numbers:{key}")


def follow_up(rng: random.Random) -> Item:
    makers = (after_sum, after_sum, after_unit, after_day, after_month, after_sort)
    return rng.choice(makers)(rng)
