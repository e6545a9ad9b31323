"""The guided tour: a whole Tailrace on this machine, asked, attacked and flooded, and a report of what it did."""

from services.console.demo.report import Report
from services.console.demo.stack import guided_tour

__all__ = ["Report", "guided_tour"]
