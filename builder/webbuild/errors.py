"""Named errors: every way in which input can be wrong, each saying what to do about it.

The command line prints them as ``error[Name]: message`` with exit code 2, so that a script can tell
them apart and a reader never sees a traceback for a mistake in the input.
"""

from __future__ import annotations


class WebbuildError(Exception):
    """Base of all errors that a user can cause and mend. The message says what to do."""


class FileAccessError(WebbuildError):
    """The system does not let a file be read or written; `OSError` becomes this at the end."""


# --- finding the model -------------------------------------------------------------------------


class ModelNotFoundError(WebbuildError):
    """MODEL is neither a folder, nor an alias, nor a repository of the Hub."""


class RevisionNotFoundError(WebbuildError):
    """The repository exists; the branch, tag or commit does not."""


class GatedModelError(WebbuildError):
    """The Hub wants a token, or an accepted licence, for this repository."""


class HubUnreachableError(WebbuildError):
    """No connection to the Hub, and the files are not in the local cache."""


class MissingFileError(WebbuildError):
    """A file that every model needs (config, tokenizer, weights) is missing."""


# --- reading the model -------------------------------------------------------------------------


class InvalidConfigError(WebbuildError):
    """config.json, or another JSON file of the model, cannot be used."""


class UnsupportedArchitectureError(WebbuildError):
    """No model family of webbuild fits the config's architecture."""


class UnsupportedConfigError(WebbuildError):
    """The architecture is known; the config asks for a variation of it that is not implemented."""


class UnsupportedTokenizerError(WebbuildError):
    """tokenizer.json has a part that the runtime's tokenizer does not know."""


class ChatTemplateError(WebbuildError):
    """The chat template does not parse, or its form is unknown."""


class SafetensorsError(WebbuildError):
    """A safetensors file breaks the format."""


class MissingTensorError(WebbuildError):
    """A tensor that the model or the weight index names is not in the files."""


class TensorShapeError(WebbuildError):
    """A tensor's shape is not what the config says."""


class TiedHeadError(WebbuildError):
    """The config ties the head to the embedding, and the files hold another head."""


class NonFiniteWeightError(WebbuildError):
    """A weight is NaN or infinite, or too large for the stored format."""


# --- compiling ---------------------------------------------------------------------------------


class KernelExceedsLimitsError(WebbuildError):
    """A kernel needs more than every WebGPU adapter offers; the message names the operation."""


class TensorTooLargeError(WebbuildError):
    """A tensor, or an activation, does not fit one 128 MiB binding and cannot be cut."""


# --- quantising and writing --------------------------------------------------------------------


class UnknownQuantizationError(WebbuildError):
    """The name given to --quant is not known."""


class InvalidOptionError(WebbuildError):
    """An option's value does not fit the model."""


class NotDivisibleError(WebbuildError):
    """A dimension does not divide into the quantisation's groups."""


class DiskFullError(WebbuildError):
    """The pack does not fit on the disk."""


class OutputExistsError(WebbuildError):
    """The output path holds something that must not be overwritten."""


class OutputNotWritableError(WebbuildError):
    """The output cannot be written there: permissions, or not a folder."""


# --- reading a pack ----------------------------------------------------------------------------


class NotAPackError(WebbuildError):
    """The folder is no pack, or its manifest does not parse."""


class PackDamagedError(WebbuildError):
    """A file of the pack is missing, truncated or changed."""


class FormatVersionError(WebbuildError):
    """A file of the pack has a format version that this webbuild does not read."""


class InvalidProgramError(WebbuildError):
    """program.json, kernels.json or tensor-cache.json breaks its format, or they do not agree."""


# --- running a pack ----------------------------------------------------------------------------


class NoAdapterError(WebbuildError):
    """No WebGPU adapter, or none with what the pack needs."""


class AdapterLimitError(WebbuildError):
    """A buffer of the pack is larger than the adapter allows."""


class ContextFullError(WebbuildError):
    """More tokens than a sequence, the step or the KV pool can hold."""


class InvalidRequestError(WebbuildError):
    """A token id, sampling setting or count that makes no sense."""


class WrongModelKindError(WebbuildError):
    """The pack's model generates text where one that embeds texts is wanted, or the other way."""


class MissingExtraError(WebbuildError):
    """The command needs packages that a plain installation does not have."""


class LogitsDifferError(WebbuildError):
    """A pack's logits are too far from the reference's."""


# --- serving -----------------------------------------------------------------------------------


class CannotServeError(WebbuildError):
    """The server cannot start: nothing to serve there, or the port is taken."""


class ApiFailedError(WebbuildError):
    """What should answer the API's requests does not start, or can't load the model."""


# --- benchmarks --------------------------------------------------------------------------------


class BrowserNotFoundError(WebbuildError):
    """No browser with WebGPU on this machine, or it does not start."""


class RuntimeNotFoundError(WebbuildError):
    """The folder holds no built npm package, or one without benchmarks."""


class NotAReportError(WebbuildError):
    """The file is no report of a benchmark."""


class BenchmarkFailedError(WebbuildError):
    """What was measured failed: the page, Node or the engine in it; the message says how."""
