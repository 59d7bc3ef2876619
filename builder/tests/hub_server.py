"""A local server that speaks as much of the Hub's API as downloading a model takes."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LFS_SUFFIXES = (".safetensors", "tokenizer.json")


@dataclass
class FakeHub:
    """Serves repositories; `url` goes into HF_ENDPOINT, `requests` collects what was asked."""

    repositories: dict[str, dict[str, bytes]]
    gated: frozenset[str] = frozenset()
    branches: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    token: str = "hf_secret"
    url: str = ""
    requests: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._record])
        repo = "{org}/{name}"
        app.router.add_get(f"/api/models/{repo}/revision/{{revision}}", self._info)
        app.router.add_get(f"/api/models/{repo}/tree/{{revision}}", self._tree)
        app.router.add_get(f"/{repo}/resolve/{{revision}}/{{path}}", self._resolve)
        app.router.add_get("/lfs/{org}/{name}/{path}", self._content)
        return app

    @web.middleware
    async def _record(self, request: web.Request, handler):  # type: ignore[no-untyped-def]
        self.requests.append(f"{request.method} {request.path}")
        return await handler(request)

    def _files(self, request: web.Request) -> dict[str, bytes]:
        """The repository asked for, or the Hub's answer when there is none to see."""
        repository = f"{request.match_info['org']}/{request.match_info['name']}"
        if repository not in self.repositories:
            raise self._error(web.HTTPUnauthorized, "RepoNotFound", "Repository Not Found")
        if repository in self.gated:
            authorization = request.headers.get("Authorization", "")
            if authorization != f"Bearer {self.token}":
                error = web.HTTPForbidden if authorization else web.HTTPUnauthorized
                raise self._error(error, "GatedRepo", f"Access to {repository} is restricted")
        return self.repositories[repository]

    def _commit(self, request: web.Request) -> str:
        revision = request.match_info["revision"]
        if revision in self.branches.values():
            return revision
        if revision not in self.branches:
            raise self._error(web.HTTPNotFound, "RevisionNotFound", "Invalid rev id")
        return self.branches[revision]

    @staticmethod
    def _error(kind: type[web.HTTPError], code: str, message: str) -> web.HTTPError:
        return kind(headers={"X-Error-Code": code, "X-Error-Message": message})

    async def _info(self, request: web.Request) -> web.Response:
        files, commit = self._files(request), self._commit(request)
        siblings = [{"rfilename": name} for name in files]
        return web.json_response({"id": "x", "sha": commit, "siblings": siblings})

    async def _tree(self, request: web.Request) -> web.Response:
        files = self._files(request)
        self._commit(request)
        return web.json_response(
            [
                {"type": "file", "path": name, "size": len(content), "oid": _etag(content)}
                for name, content in files.items()
            ]
        )

    async def _resolve(self, request: web.Request) -> web.Response:
        files, commit, path = (
            self._files(request),
            self._commit(request),
            request.match_info["path"],
        )
        if path not in files:
            raise self._error(web.HTTPNotFound, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_etag(files[path])}"'}
        if not path.endswith(LFS_SUFFIXES):
            return web.Response(body=files[path], headers=headers)
        # Large files live on another host.
        org, name = request.match_info["org"], request.match_info["name"]
        headers |= {
            "X-Linked-Etag": headers.pop("ETag"),
            "X-Linked-Size": str(len(files[path])),
            "Location": f"{self.url.replace('127.0.0.1', 'localhost')}/lfs/{org}/{name}/{path}",
        }
        return web.Response(status=302, headers=headers)

    async def _content(self, request: web.Request) -> web.Response:
        info = request.match_info
        content = self.repositories[f"{info['org']}/{info['name']}"][info["path"]]
        return web.Response(body=content, headers={"ETag": f'"{_etag(content)}"'})


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """Runs the server on a thread of its own, and sets its `url`."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(hub.app())
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    hub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield hub
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(runner.cleanup())
        loop.close()
