"""The local server: proxy, ledger and dashboard API in one process."""

__version__ = "0.1.0"
