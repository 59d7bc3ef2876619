"""A model as found: config, tokenizer files, chat template, and tensors that are read lazily."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from webbuild.errors import (
    ChatTemplateError,
    InvalidConfigError,
    MissingFileError,
    MissingTensorError,
    ModelNotFoundError,
    SafetensorsError,
)
from webbuild.sources.aliases import aliases
from webbuild.sources.hub import Repository
from webbuild.sources.safetensors import IS_POINTER, LFS_POINTER, Tensor, read_header
from webbuild.sources.tokenizer import as_loaded

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

#: Everything but the weights that a pack may hold or be made from; patterns, as the Hub takes them.
SMALL_FILES = (
    "config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "additional_chat_templates/*.jinja",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_*_config.json",
    "*_Pooling/config.json",
    INDEX,
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ModelSource:
    """A Hugging Face model folder, wherever it came from.

    Make one with `open_source`. Nothing is read before it is asked for; what is wrong raises a
    named error that says which file.
    """

    folder: Path
    identifier: str
    """What provenance records: the Hub id, or a local folder's own name (never its path)."""
    revision: str | None = None
    """Resolved commit of a Hub model."""
    repository: Repository | None = None

    @property
    def name(self) -> str:
        """The model's own name: the identifier without its organisation."""
        return self.identifier.rpartition("/")[2]

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json. Raises MissingFileError or InvalidConfigError, for an adapter too: with
        peft, transformers adds it to the model, whether that is beside it or elsewhere."""
        if (self.folder / "adapter_config.json").is_file():
            raise InvalidConfigError(
                f"{self.folder} holds an adapter (LoRA): merge it into its model with peft's "
                "merge_and_unload(), save_pretrained() that, and pack the result; if the weights "
                "here are merged already, remove adapter_config.json"
            )
        return self._json("config.json")

    @cached_property
    def generation_config(self) -> dict[str, Any]:
        """generation_config.json, or empty."""
        return self._json_or_empty("generation_config.json")

    @cached_property
    def tokenizer_config(self) -> dict[str, Any]:
        """tokenizer_config.json, or empty. Where it does not list the added tokens, as before
        transformers 4.34, special_tokens_map.json has the last word, as there."""
        config = self._json_or_empty("tokenizer_config.json")
        if "added_tokens_decoder" in config:
            return config
        return {**config, **self._json_or_empty("special_tokens_map.json")}

    @cached_property
    def modules(self) -> list[str]:
        """Types of a sentence-transformers model's steps, in order, such as ``Pooling``; empty for
        another model. Raises InvalidConfigError."""
        return [name for name, _ in self._modules]

    @cached_property
    def _modules(self) -> list[tuple[str, str]]:
        """Type and folder of each step."""
        path = self.folder / "modules.json"
        if not path.is_file():
            return []
        try:
            modules = json.loads(path.read_text("utf-8"))
            named = [(str(m["type"]).rpartition(".")[2], str(m.get("path", ""))) for m in modules]
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise InvalidConfigError(
                f"{path} is no list of sentence-transformers' modules: {error!r}"
            ) from None
        for _, folder in named:
            if PurePosixPath(folder).is_absolute() or ".." in PurePosixPath(folder).parts:
                raise InvalidConfigError(f"{path}: {folder!r} is no folder of the model")
        return named

    @cached_property
    def pooling(self) -> dict[str, Any] | None:
        """A sentence-transformers model's pooling; None for one whose modules.json has no such
        step, or that has no modules.json. Raises MissingFileError or InvalidConfigError."""
        folder = next((path for name, path in self._modules if name == "Pooling"), None)
        if folder is None:
            return None
        return self._json(f"{folder}/config.json", "modules.json names it; download it again")

    @cached_property
    def longest_text(self) -> int | None:
        """Most tokens of a text that sentence-transformers gives the model, if it says: its own
        file's ``max_seq_length``, else the tokenizer's ``model_max_length``, as it does."""
        lengths = [config.get("max_seq_length") for config in self._sentence_configs]
        lengths.append(self.tokenizer_config.get("model_max_length"))
        return next((n for n in lengths if type(n) is int and n > 0), None)

    @cached_property
    def lowers_case(self) -> bool:
        """Whether sentence-transformers makes texts lower-case, whatever the tokenizer does."""
        return any(config.get("do_lower_case") for config in self._sentence_configs)

    @cached_property
    def _sentence_configs(self) -> list[dict[str, Any]]:
        return [
            self._json(path.name) for path in sorted(self.folder.glob("sentence_*_config.json"))
        ]

    @cached_property
    def default_prompt(self) -> str | None:
        """What sentence-transformers puts before every text unless it is told otherwise."""
        config = self._json_or_empty("config_sentence_transformers.json")
        name, prompts = config.get("default_prompt_name"), config.get("prompts")
        prompt = prompts.get(name) if isinstance(prompts, dict) else None
        return prompt if isinstance(prompt, str) and prompt else None

    @cached_property
    def tokenizer(self) -> dict[str, Any]:
        """tokenizer.json, parsed, as transformers has it. Raises MissingFileError,
        InvalidConfigError or UnsupportedTokenizerError."""
        tokenizer = self._json(
            "tokenizer.json",
            "webbuild needs the fast tokenizer's file: load the model's tokenizer with "
            "transformers.AutoTokenizer and save_pretrained() it into the folder",
        )
        legacy = self._json_or_empty("added_tokens.json")
        try:
            return as_loaded(tokenizer, self.tokenizer_config, legacy)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise InvalidConfigError(
                f"{self.folder / 'tokenizer.json'} is no tokenizer: {error!r}"
            ) from None

    @cached_property
    def chat_template(self) -> str | None:
        """The Jinja chat template, or None for a base model.

        Of several it is the one named "default". Raises ChatTemplateError if it does not parse.
        """
        return self._template("default")

    @cached_property
    def tool_template(self) -> str | None:
        """Another chat template for requests with tools, which some models have: the one named
        "tool_use". Raises ChatTemplateError if it does not parse.
        """
        return self._template("tool_use")

    @cached_property
    def license_file(self) -> Path | None:
        """The model's licence text, if it brings one."""
        names = ("LICENSE", "LICENSE.txt", "LICENSE.md")
        return next((self.folder / name for name in names if (self.folder / name).is_file()), None)

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """All tensors by name; downloads the weights of a Hub model. Reads headers only.

        Raises MissingFileError, SafetensorsError or MissingTensorError.
        """
        names = self._weight_files()
        if self.repository is not None:
            replace(self.repository, revision=self.revision).download(names)
        tensors: dict[str, Tensor] = {}
        for name in names:
            path = self.folder / name
            if not path.is_file():
                raise MissingFileError(f"{self.folder} lacks {name}: download the model again")
            for tensor in read_header(path).values():
                if tensor.name in tensors:
                    raise SafetensorsError(f"{path}: tensor {tensor.name!r} is in two files")
                tensors[tensor.name] = tensor
        for tensor_name, file in self._index.items():
            if tensor_name not in tensors or tensors[tensor_name].path.name != file:
                raise MissingTensorError(
                    f"{INDEX} says that {file} holds {tensor_name!r}, but it does not: "
                    "download the model again"
                )
        return tensors

    @cached_property
    def _index(self) -> dict[str, str]:
        """Tensor name to file name; empty for a model in one file."""
        if (self.folder / SINGLE).is_file() or not (self.folder / INDEX).is_file():
            return {}
        weight_map = self._json(INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise InvalidConfigError(f"{self.folder / INDEX}: no weight_map")
        for file in weight_map.values():
            if not isinstance(file, str) or Path(file).name != file or file in ("", ".", ".."):
                raise InvalidConfigError(f"{self.folder / INDEX}: {file!r} is no file name")
        return weight_map

    def _weight_files(self) -> list[str]:
        if self._index:
            return sorted(set(self._index.values()))
        if self.repository is None and not (self.folder / SINGLE).is_file():
            raise MissingFileError(
                f"{self.folder} has neither {SINGLE} nor {INDEX}: webbuild reads safetensors; "
                "convert other formats with transformers' save_pretrained()"
            )
        return [SINGLE]

    def _template(self, name: str) -> str | None:
        template = self._templates.get(name)
        if template is not None:
            _check_template(template)
        return template

    @cached_property
    def _templates(self) -> Mapping[str, str]:
        """Chat templates by name. Files win over tokenizer_config.json, a default one over all
        that is there, as in transformers."""
        more = sorted((self.folder / "additional_chat_templates").glob("*.jinja"))
        paths = {"default": self.folder / "chat_template.jinja", **{p.stem: p for p in more}}
        files = {name: _read_template(path) for name, path in paths.items() if path.is_file()}
        return files if "default" in files else {**self._embedded_templates(), **files}

    def _embedded_templates(self) -> dict[str, str]:
        """Those of tokenizer_config.json: one, or several by name."""
        given = self.tokenizer_config.get("chat_template")
        if given is None:
            return {}
        if isinstance(given, str):
            given = {"default": given}
        try:
            listed = not isinstance(given, dict)
            named = {e["name"]: e["template"] for e in given} if listed else given
        except (TypeError, KeyError):
            named = {}
        if "default" not in named or not all(isinstance(text, str) for text in named.values()):
            raise ChatTemplateError(
                f"{self.folder / 'tokenizer_config.json'}: chat_template must be a string or a "
                "list with a template named 'default'"
            )
        return named

    def _json_or_empty(self, name: str) -> dict[str, Any]:
        return self._json(name) if (self.folder / name).is_file() else {}

    def _json(self, name: str, advice: str = "is this a Hugging Face model?") -> dict[str, Any]:
        path = self.folder / name
        if not path.is_file():
            raise MissingFileError(f"{self.folder} lacks {name}: {advice}")
        data = path.read_bytes()
        if data.startswith(LFS_POINTER):
            raise InvalidConfigError(f"{path} {IS_POINTER}")
        try:
            value = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InvalidConfigError(f"{path} is not valid JSON: {error}") from None
        if not isinstance(value, dict):
            raise InvalidConfigError(f"{path} must hold a JSON object")
        return value


def open_source(
    model: str, revision: str | None = None, cache_dir: Path | None = None
) -> ModelSource:
    """Finds MODEL: a local folder, an alias, or a Hub id ``organisation/name[@revision]``.

    A Hub model's small files are downloaded here, its weights when `tensors` is first read.
    Raises ModelNotFoundError and the Hub's errors (see `Repository.download`).
    """
    # These answer "no" where pathlib raises: an unknown ~user, a name too long for the disk.
    folder = Path(os.path.expanduser(model))  # noqa: PTH111
    if model and os.path.isdir(folder):  # noqa: PTH112
        if revision is not None:
            raise ModelNotFoundError(f"{model} is a local folder, which has no --revision")
        return ModelSource(folder, folder.resolve().name)
    name, _, pinned = model.partition("@")
    if name in aliases():
        name = aliases()[name].repository
    elif not _HUB_ID.fullmatch(name) or folder.is_absolute():
        raise ModelNotFoundError(
            f"{model!r} is no folder, no Hub id (organisation/name) and no alias; "
            f"aliases: {', '.join(aliases())}"
        )
    repository = Repository(name, revision or pinned or None, cache_dir)
    folder, commit = repository.download(SMALL_FILES)
    return ModelSource(folder, name, commit, repository)


def _read_template(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ChatTemplateError(f"{path} is no UTF-8 text: {error.reason}") from None


def _check_template(template: str) -> None:
    # Imported late: only packing a chat model needs it.
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        extensions=["jinja2.ext.loopcontrols", _generation_tag()]
    )
    try:
        environment.parse(template)
    except TemplateSyntaxError as error:
        raise ChatTemplateError(
            f"the chat template does not parse (line {error.lineno}): {error.message}"
        ) from None


def _generation_tag() -> Any:
    """transformers' ``{% generation %}`` block, which marks text for training and prints it."""
    from jinja2.ext import Extension
    from jinja2.nodes import Node
    from jinja2.parser import Parser

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012 - jinja's own form

        def parse(self, parser: Parser) -> list[Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return Generation
