"""Weekdays, months, leap years and days within a month."""

from __future__ import annotations

import random

from ..items import Item, ask, choose, vary

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = {
    "January": 31,
    "February": 28,
    "March": 31,
    "April": 30,
    "May": 31,
    "June": 30,
    "July": 31,
    "August": 31,
    "September": 30,
    "October": 31,
    "November": 30,
    "December": 31,
}
MONTH_NAMES = tuple(MONTHS)
DAY_AFTER = (
    "Today is {d}. What day is it in {n} days?",
    "What day of the week is {n} days after {d}?",
    "If today is {d}, which day is it in {n} days?",
    "Which weekday is {n} days after {d}?",
)
DAY_BEFORE = (
    "Today is {d}. What day was it {n} days ago?",
    "What day of the week is {n} days before {d}?",
    "If today is {d}, which day was it {n} days ago?",
)
NEIGHBOUR = (
    ("Which day comes after {}?", "day", 1),
    ("What day follows {}?", "day", 1),
    ("Which day comes before {}?", "day", -1),
    ("What is the day before {}?", "day", -1),
    ("Which month comes after {}?", "month", 1),
    ("What month follows {}?", "month", 1),
    ("Which month comes before {}?", "month", -1),
    ("What is the month before {}?", "month", -1),
)
LENGTH = (
    "How many days does {m} have?",
    "How many days are there in {m}?",
    "How long is {m} in days?",
    "Number of days in {m}?",
)
NUMBER = (
    "Which number is the month {m}?",
    "What is the number of the month {m}?",
    "{m} is which month of the year, as a number?",
)
LEAP = ("Is {y} a leap year?", "Was {y} a leap year?", "Does {y} have 366 days?")
DATE_AFTER = (
    "What date is {n} days after {d} {m}?",
    "It is {d} {m}. Which date is it in {n} days?",
    "Which date is {n} days after {d} {m}?",
)


def counted_days(day: int, steps: int) -> str:
    """Day by day to the one that is asked for: the worked steps of the answer."""
    sign = 1 if steps > 0 else -1
    return ", ".join(f"{i} {DAYS[(day + sign * i) % 7]}" for i in range(1, abs(steps) + 1))


def weekday(rng: random.Random) -> Item:
    day, n = rng.randrange(7), rng.randint(1, 7)
    sign = rng.choice((1, 1, -1))
    text = choose(rng, DAY_AFTER if sign > 0 else DAY_BEFORE).format(d=DAYS[day], n=n)
    if n == 1:
        text = text.replace("1 days", "1 day")
    return ask(
        "weekdays", vary(rng, text), counted_days(day, sign * n), f"{DAYS[day]}{sign * n:+d}"
    )


def calendar(rng: random.Random) -> Item:
    """Months, leap years and dates within one month."""
    kind = rng.random()
    if kind < 0.25:
        pattern, unit, step = NEIGHBOUR[rng.randrange(len(NEIGHBOUR))]
        names = DAYS if unit == "day" else MONTH_NAMES
        i = rng.randrange(len(names))
        text = vary(rng, pattern.format(names[i]))
        return ask("calendar", text, names[(i + step) % len(names)])
    month = choose(rng, MONTH_NAMES)
    if kind < 0.4:
        text = vary(rng, choose(rng, LENGTH).format(m=month))
        answer = "28 days, or 29 in a leap year" if month == "February" else f"{MONTHS[month]} days"
        return ask("calendar", text, answer)
    if kind < 0.5:
        text = vary(rng, choose(rng, NUMBER).format(m=month))
        return ask("calendar", text, str(MONTH_NAMES.index(month) + 1))
    if kind < 0.7:
        year = rng.randint(1901, 2099)
        text = vary(rng, choose(rng, LEAP).format(y=year))
        return ask("calendar", text, "No" if year % 4 else "Yes", f"leap:{year}")
    day = rng.randint(1, MONTHS[month] - 2)
    n = rng.randint(2, min(20, MONTHS[month] - day))
    text = vary(rng, choose(rng, DATE_AFTER).format(n=n, d=day, m=month))
    return ask("calendar", text, f"{day + n} {month}", f"date:{day}{month}+{n}")
