"""Downloads a model's files from the Hugging Face Hub, and names what can go wrong there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from webbuild.errors import (
    DiskFullError,
    GatedModelError,
    HubUnreachableError,
    ModelNotFoundError,
    RevisionNotFoundError,
)


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository at one revision (branch, tag or commit; None: the default branch)."""

    name: str
    revision: str | None = None
    cache_dir: Path | None = None
    """None: huggingface_hub's own cache, shared with transformers."""

    def download(self, files: Sequence[str]) -> tuple[Path, str]:
        """Brings those of `files` that exist into the cache. Returns their folder and the commit.

        Pass the commit as the revision of later calls, so that all files are of one snapshot.
        Raises ModelNotFoundError, RevisionNotFoundError, GatedModelError or HubUnreachableError.
        """
        # Slow to import, and not needed for local folders.
        from huggingface_hub import snapshot_download

        with self._named_errors():
            folder = snapshot_download(
                self.name,
                revision=self.revision,
                cache_dir=self.cache_dir,
                endpoint=os.environ.get("HF_ENDPOINT"),
                allow_patterns=list(files),
            )
        # The cache keeps each snapshot in a folder named by its full commit hash.
        return Path(folder), Path(folder).name

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        from huggingface_hub import errors

        try:
            yield
        except errors.GatedRepoError as error:
            raise GatedModelError(
                f"{self.name} is gated: accept its licence at https://huggingface.co/{self.name}, "
                "then run `hf auth login` (or set HF_TOKEN) and try again"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise RevisionNotFoundError(
                f"{self.name} has no revision {self.revision!r}: give a branch, a tag or a full "
                "commit hash, or leave --revision out"
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise ModelNotFoundError(
                f"no repository {self.name!r} on the Hub: check the spelling; if it is private, "
                "run `hf auth login` (or set HF_TOKEN)"
            ) from error
        except errors.HFValidationError as error:
            raise ModelNotFoundError(
                f"{self.name!r} is no folder and no Hub id (organisation/name)"
            ) from error
        except errors.HfHubHTTPError as error:
            if error.response.status_code in (401, 403):
                raise GatedModelError(
                    f"the Hub refuses access to {self.name}: run `hf auth login` "
                    "(or set HF_TOKEN) with an account that may read it"
                ) from error
            raise self._unreachable(error) from error
        # Its own network errors, and every form of "not connected" below it, are OSErrors or
        # come from the HTTP library that it happens to use.
        except (OSError, errors.OfflineModeIsEnabled) as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise DiskFullError(
                    f"no space left while downloading {self.name}: free some, or move the Hub's "
                    "cache with HF_HOME"
                ) from error
            raise self._unreachable(error) from error
        except Exception as error:
            if type(error).__module__.split(".")[0] in ("httpx", "httpx2", "requests"):
                raise self._unreachable(error) from error
            raise

    def _unreachable(self, error: BaseException) -> HubUnreachableError:
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        return HubUnreachableError(
            f"cannot fetch {self.name} from the Hub, and it is not in the local cache ({reason}): "
            "check the connection, HF_ENDPOINT and HF_HUB_OFFLINE, or give a local folder"
        )
