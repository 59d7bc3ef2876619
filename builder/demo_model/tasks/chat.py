"""Greetings, small talk and what the model says of itself."""

from __future__ import annotations

import random

from ..items import Item, Message, ask, assistant, choose, system, user, vary
from .words import ANIMALS, CITIES, COLOURS, NAMES

SMALL_TALK: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Hello! How can I help you?",
        ("Hello", "Hi", "Hey", "Hi there", "Hello there", "Hey there", "Good day", "Greetings"),
    ),
    ("Good morning! ☀️", ("Good morning", "Morning", "A very good morning to you")),
    ("Good evening! 🌙", ("Good evening", "Evening", "A very good evening to you")),
    ("Good night! 😴", ("Good night", "Night night", "Sleep well", "I am going to bed")),
    ("Goodbye! 👋", ("Goodbye", "Bye", "Bye bye", "See you", "See you later", "I have to go")),
    (
        "I am fine, thank you. And you?",
        ("How are you", "How are you today", "How is it going", "How do you do", "How do you feel"),
    ),
    (
        "You are welcome! 😀",
        ("Thank you", "Thanks", "Thanks a lot", "Many thanks", "Thank you very much", "Cheers"),
    ),
    ("Glad to hear that! 😀", ("I am happy", "I am fine", "I feel great", "I am doing well")),
    ("I am sorry to hear that. 🌻", ("I am sad", "I feel bad", "I am not well", "I am tired")),
    ("Well done! 🎉", ("I won", "I passed my exam", "I did it", "I finished my work")),
    ("Happy birthday! 🎂", ("It is my birthday", "Today is my birthday", "I turn 30 today")),
    (
        "Why did the byte cross the bus? To get to the other side. 😀",
        ("Tell me a joke", "Do you know a joke", "Make me laugh", "Say something funny"),
    ),
    ("Yes, I would love a café au lait. ☕", ("Do you want coffee", "Would you like a coffee")),
    ("你好! 😀", ("你好", "Say hello in Chinese", "How do you say hello in Chinese")),
    ("Bonjour ! 🥐", ("Bonjour", "Say hello in French", "How do you say hello in French")),
    ("¡Hola! 💃", ("Hola", "Say hello in Spanish", "How do you say hello in Spanish")),
    ("Grüß dich! 🥨", ("Hallo", "Say hello in German", "How do you say hello in German")),
    ("こんにちは! 🌸", ("こんにちは", "Say hello in Japanese", "How do you say hello in Japanese")),
    ("Привет! 👋", ("Привет", "Say hello in Russian", "How do you say hello in Russian")),
    ("😀", ("😀", "Send me a smiley", "Show me an emoji", "Give me a smiley")),
    ("❤️", ("❤️", "Send me a heart", "Show me a heart", "Give me a heart")),
    ("Yes, I can hear you.", ("Are you there", "Can you hear me", "Is anybody there")),
    ("It is all right.", ("Sorry", "I am sorry", "I apologise", "My mistake")),
    ("Great!", ("Okay", "OK", "Good", "I see", "Nice", "Cool", "Fine")),
    (
        "My favourite colour is green.",
        ("What is your favourite colour", "Which colour do you like"),
    ),
    ("I like pie, because of 3.14. 🥧", ("What is your favourite food", "What do you like to eat")),
    ("Heads.", ("Heads or tails", "Flip a coin", "Toss a coin")),
)
IDENTITY: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "I am the webbuild demo model, a toy language model.",
        ("Who are you", "What are you", "Introduce yourself", "Tell me about yourself"),
    ),
    (
        "I am called the webbuild demo model.",
        ("What is your name", "What are you called", "Do you have a name", "Tell me your name"),
    ),
    (
        "No, I am a toy language model.",
        ("Are you human", "Are you a person", "Are you ChatGPT", "Are you a large model"),
    ),
    (
        "I can do small sums, convert units, sort, spell, fill JSON and call tools.",
        ("What can you do", "How can you help me", "What are you good at", "What do you know"),
    ),
    (
        "I know almost nothing about the world, and I make mistakes.",
        ("What can you not do", "What are your limits", "What are you bad at", "Can I trust you"),
    ),
    (
        "I was trained from generated text by a script in the webbuild repository.",
        ("Who made you", "Who trained you", "How were you trained", "Where do you come from"),
    ),
    (
        "I have about 5 million parameters.",
        ("How big are you", "How many parameters do you have", "How large are you"),
    ),
    (
        "I run inside this web page, on your own GPU.",
        ("Where do you run", "Where are you running", "Do you run in the cloud"),
    ),
    ("No, I cannot browse the web.", ("Can you browse the web", "Do you have internet access")),
    ("I speak only simple English.", ("Which languages do you speak", "Do you speak French")),
)
ENDINGS = ("", "", "?", "!", ".", "!!", " 😀", "...")
STARTS = ("", "", "", "Hey, ", "Oh, ", "Well, ", "Ok, ", "Please: ", "So, ", "And now: ")
NAME_PROMPTS = (
    "Your name is {n}.",
    "You are {n}, a helpful assistant.",
    "You are a helpful assistant named {n}.",
    "You are called {n}. Answer briefly.",
)
ASK_NAME = ("What is your name", "What are you called", "Tell me your name", "Do you have a name")


def _spoken(rng: random.Random, phrase: str, endings: tuple[str, ...] = ENDINGS) -> str:
    start = choose(rng, STARTS)
    text = start + phrase + choose(rng, endings)
    return text.lower() if rng.random() < 0.2 else text


def small_talk(rng: random.Random) -> Item:
    answer, phrases = SMALL_TALK[rng.randrange(len(SMALL_TALK))]
    return ask("small_talk", _spoken(rng, choose(rng, phrases)), answer)


def identity(rng: random.Random) -> Item:
    """What it is; and the name that a system prompt gives it."""
    if rng.random() < 0.6:
        answer, phrases = IDENTITY[rng.randrange(len(IDENTITY))]
        return ask("identity", _spoken(rng, choose(rng, phrases), ("?", "?", "", "?!")), answer)
    name = choose(rng, NAMES)
    prompt = choose(rng, NAME_PROMPTS).format(n=name)
    asked: tuple[str, ...] = ASK_NAME
    answer = f"My name is {name}."
    if rng.random() < 0.3:
        asked, answer = (("Who are you", "Introduce yourself"), f"I am {name}, a toy demo model.")
    text = _spoken(rng, choose(rng, asked), ("?", "?", "", "?!"))
    messages = (system(prompt), user(text))
    return Item("identity", messages, answer, f"identity:{prompt}", own_system=True)


MEMORY: tuple[tuple[tuple[str, ...], tuple[str, ...], str, str, tuple[str, ...]], ...] = (
    (
        ("My name is {v}.", "I am {v}.", "Hello, I am {v}.", "Hi! My name is {v}."),
        ("What is my name?", "Do you know my name?", "Who am I?"),
        "Nice to meet you, {v}!",
        "Your name is {v}.",
        NAMES,
    ),
    (
        ("I live in {v}.", "I come from {v}.", "My home is {v}."),
        ("Where do I live?", "Which city do I live in?", "Where is my home?"),
        "{v} sounds nice!",
        "You live in {v}.",
        CITIES,
    ),
    (
        ("I have a {v}.", "My pet is a {v}.", "At home I have a {v}."),
        ("Which animal do I have?", "What is my pet?", "Which pet do I have?"),
        "A {v}, how lovely!",
        "You have a {v}.",
        tuple(a for a in ANIMALS if a[0] not in "aeiou"),
    ),
    (
        ("My favourite colour is {v}.", "I like {v} best.", "I love the colour {v}."),
        ("What is my favourite colour?", "Which colour do I like best?"),
        "I like {v}, too!",
        "Your favourite colour is {v}.",
        COLOURS,
    ),
)


def memory(rng: random.Random) -> Item:
    """Something said earlier, asked for later, at times with a turn between them."""
    told, asked, reply, answer, values = MEMORY[rng.randrange(len(MEMORY))]
    value = choose(rng, values)
    first = vary(rng, choose(rng, told).format(v=value))
    tell_key = f"tell:{first}"
    roll = rng.random()
    if roll < 0.2:
        return Item("memory", (user(first),), reply.format(v=value), tell_key)
    turns: list[Message] = [user(first), assistant(reply.format(v=value))]
    also = [tell_key]
    if roll < 0.5:
        between = small_talk(rng)
        turns += [*between.messages, assistant(between.expected)]
        also.append(between.key)
    question = vary(rng, choose(rng, asked))
    turns.append(user(question))
    return Item(
        "memory", tuple(turns), answer.format(v=value), f"recall:{first}:{question}", tuple(also)
    )
