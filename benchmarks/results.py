"""What was measured: figures of us and of the floor beneath, paired, and the table that shows them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(slots=True, kw_only=True)
class Line:
    """One line of the table.

    ours, floor     one figure per pair, in `unit`; no floor where there is nothing to compare with
    aim             what the line is meant to reach, in words
    notes           further figures, medians or single ones
    """

    name: str
    unit: str
    aim: str
    ours: list[float] = field(default_factory=list[float])
    floor: list[float] = field(default_factory=list[float])
    notes: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def ratios(self) -> list[float]:
        """Ours ÷ floor, pair by pair."""
        return [mine / beneath for mine, beneath in zip(self.ours, self.floor, strict=True)] if self.floor else []

    def document(self) -> dict[str, Any]:
        """Everything, for a file."""
        return asdict(self) | {"ratios": self.ratios}


def show(lines: Sequence[Line], *, console: Console) -> None:
    """Print the table, then the notes."""
    table = Table(title="medians; ratios are ours ÷ floor, pair by pair")
    for heading in ("row", "unit", "floor", "ours", "ratio min", "median", "max", "aim"):
        table.add_column(heading, justify="left" if heading in {"row", "unit", "aim"} else "right", overflow="fold")
    for line in lines:
        table.add_row(line.name, line.unit, _median(line.floor), _median(line.ours), *_spread(line.ratios), line.aim)
    console.print(table)
    for line in lines:
        if line.notes:
            console.print(f"[bold]{line.name}[/]  {_noted(line.notes)}", highlight=False)


def _median(figures: Sequence[float]) -> str:
    return _short(statistics.median(figures)) if figures else "–"


def _spread(ratios: Sequence[float]) -> tuple[str, str, str]:
    if not ratios:
        return ("–", "–", "–")
    return (f"{min(ratios):.2f}", f"{statistics.median(ratios):.2f}", f"{max(ratios):.2f}")


def _noted(notes: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {_short(value) if isinstance(value, float) else value}" for name, value in notes.items())


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.2f}"
