"""webbuild turns an open-weight language model into static files that any web page can run."""

__version__ = "0.1.0"
