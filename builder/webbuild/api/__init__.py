"""`webbuild serve PACK --api`: OpenAI's API over HTTP, answered by a pack on this machine's GPU."""

from webbuild.api.command import ApiOptions, serve_api

__all__ = ["ApiOptions", "serve_api"]
