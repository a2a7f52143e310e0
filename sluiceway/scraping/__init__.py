"""What all receivers share that measure at an interval: declared metrics, their settings, the loop, and its reports.

A receiver declares its metrics (`counter`, `gauge`, `updowncounter`), derives its settings from `ScrapeSettings`, and
gives `Scraping` its scrapers: functions that are handed a `Scrape` and record what they read.
"""

from sluiceway.scraping.declared import (
    Declares,
    Metric,
    MetricSettings,
    ResourceAttribute,
    ResourceSettings,
    counter,
    declared,
    gauge,
    histogram,
    updowncounter,
)
from sluiceway.scraping.loop import Scraper, Scraping
from sluiceway.scraping.scrape import Recorder, Scrape
from sluiceway.scraping.settings import ScrapeSettings

__all__ = [
    "Declares",
    "Metric",
    "MetricSettings",
    "Recorder",
    "ResourceAttribute",
    "ResourceSettings",
    "Scrape",
    "ScrapeSettings",
    "Scraper",
    "Scraping",
    "counter",
    "declared",
    "gauge",
    "histogram",
    "updowncounter",
]
