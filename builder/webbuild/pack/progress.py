"""Progress on the terminal: a bar with bytes, rate and ETA, or plain lines when nobody watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

#: Seconds between plain lines.
PLAIN_INTERVAL = 5.0


@dataclass
class Reporter:
    """Tells a person what happens. Everything goes to stderr, which leaves stdout to results."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    quiet: bool = False

    def step(self, message: str) -> None:
        """One line for one step."""
        if not self.quiet:
            self.console.print(message, markup=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        """A line that is shown even when quiet."""
        self.console.print(f"warning: {message}", style="yellow", markup=False, soft_wrap=True)

    @contextmanager
    def bytes(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Shows progress over `total` bytes; the block calls what it is given with each amount."""
        if self.quiet:
            yield lambda _: None
        elif self.console.is_terminal:
            with self._bar() as bar:
                task = bar.add_task(label, total=total)
                yield lambda amount: bar.update(task, advance=amount)
        else:
            yield _PlainBytes(self.console, label, total).advance

    @contextmanager
    def items(self, label: str, total: int) -> Iterator[Callable[[str], None]]:
        """Shows progress over `total` items; the block calls what it is given with each one's
        name when it is done."""
        if self.quiet:
            yield lambda _: None
        elif self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            with Progress(*columns, TimeElapsedColumn(), console=self.console) as bar:
                task = bar.add_task(label, total=total)

                def done(name: str) -> None:
                    bar.console.print(name, markup=False, soft_wrap=True)
                    bar.update(task, advance=1)

                yield done
        else:
            numbers = count(1)
            yield lambda name: self.step(f"{label} {next(numbers)}/{total}: {name}")

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self.console,
        )


class _PlainBytes:
    def __init__(self, console: Console, label: str, total: int) -> None:
        self.console = console
        self.label = label
        self.total = total
        self.done = 0
        self.started = self.printed = time.monotonic()

    def advance(self, amount: int) -> None:
        self.done += amount
        now = time.monotonic()
        finished = amount > 0 and self.done >= self.total
        if finished or now - self.printed >= PLAIN_INTERVAL:
            self.printed = now
            rate = self.done / max(now - self.started, 1e-9)
            remaining = (self.total - self.done) / rate if rate else 0
            self.console.print(
                f"{self.label}: {self.done / 1e6:,.1f} of {self.total / 1e6:,.1f} MB, "
                f"{100 * self.done / max(self.total, 1):.0f} %, {rate / 1e6:,.0f} MB/s, "
                f"ETA {remaining:.0f} s",
                markup=False,
                soft_wrap=True,
            )
