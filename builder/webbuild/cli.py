"""The command line: parses arguments, calls the part that does the work, prints what happened."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click

from webbuild import __version__
from webbuild.errors import FileAccessError, InvalidOptionError, WebbuildError
from webbuild.quantize import QUANTIZATIONS, get_quantization

# Parts are imported inside the commands: `webbuild --help` must not wait for TVM.

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

_HELP = """\
Turns an open-weight language model into static files that any web page can run on WebGPU.

\b
  webbuild pack smollm2-135m            # download, quantise and compile: a folder of static files
  webbuild inspect smollm2-135m-q4f16_1 # what is inside, and the memory that it needs
  webbuild serve smollm2-135m-q4f16_1   # serve it to any page on this machine

\b
In a page, with the npm package `webbuild`:
  const engine = await Engine.load("http://127.0.0.1:8000/");
  await engine.chat.completions.create({ messages, stream: true });

Any static host serves a pack: upload the folder. `webbuild COMMAND --help` tells more.
"""


@click.group(
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="webbuild")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    context.obj = {"debug": debug}


def _pack_epilog() -> str:
    from webbuild.sources import aliases

    return (
        "\b\nExamples:\n"
        "  webbuild pack ./my-model-folder\n"
        "  webbuild pack Qwen/Qwen3-0.6B@main -o qwen --quant q4f16_1\n"
        "  webbuild pack llama-3.2-1b --quant q0f16\n\n"
        "Aliases: " + ", ".join(aliases()) + "."
    )


@cli.command(epilog=_pack_epilog(), short_help="Make a pack of a model: static files.")
@click.argument("model")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder to make [MODEL-QUANT].")
@click.option(
    "--quant",
    default="q4f16_1",
    show_default=True,
    metavar="|".join(QUANTIZATIONS),
    help="How weights are stored: in groups of 4-bit or 8-bit integers, as float16 or as float32.",
)
@click.option(
    "--kv",
    type=click.Choice(["float", "int8"]),
    default="float",
    show_default=True,
    help="How keys and values are kept on the GPU: in floats, or in half the bytes or fewer.",
)
@click.option("--revision", help="Branch, tag or commit of a Hub model.")
@click.option(
    "--context", type=click.IntRange(min=1), help="Default context length of the runtime."
)
@click.option(
    "--max-batch",
    type=click.IntRange(1, 256),
    help="Most sequences that an engine can run at once, if it is loaded for so many [32].",
)
@click.option(
    "--grammar",
    multiple=True,
    metavar="NAME=FILE",
    help="What answers can be held to by a name: a JSON Schema (.json), a regular expression "
    "(.regex) or a grammar (.gbnf). Can be given several times.",
)
@click.option("--name", help="What the pack calls its model [the folder's or repository's name].")
@click.option("--force", is_flag=True, help="Replace a pack that is already there.")
@click.option("--no-library", is_flag=True, help="Let TVM generate every kernel.")
@click.option(
    "--dump-passes",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the module after each compiler pass.",
)
@click.option(
    "--records",
    type=click.Path(path_type=Path),
    help="Measured tunings, by `webbuild tune`, to add to those that ship.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
def pack(
    model: str,
    out: Path | None,
    quant: str,
    kv: Literal["float", "int8"],
    revision: str | None,
    context: int | None,
    max_batch: int | None,
    grammar: tuple[str, ...],
    name: str | None,
    force: bool,
    no_library: bool,
    dump_passes: Path | None,
    records: Path | None,
    quiet: bool,
) -> None:
    """Pack MODEL: a Hugging Face folder, a Hub id (organisation/name[@revision]) or an alias.

    The pack is a folder of static files: quantised weights, the compiled program, its kernels and
    the tokenizer. The same input gives the same bytes. It appears when it is whole, or not at all.
    """
    quantization = get_quantization(quant)
    if quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

    from webbuild.pack import PackOptions, Reporter, pack_model
    from webbuild.sources import aliases, open_source

    source = open_source(model, revision)
    if out is None:
        folder = model if model in aliases() else source.name.lower()
        out = Path(f"{folder}-{quantization.name}")
    options = PackOptions(
        force=force,
        library=not no_library,
        kv=kv,
        dump_passes=dump_passes,
        context_length=context,
        max_batch=max_batch,
        name=name,
        records=records,
        grammars=grammar,
    )
    manifest = pack_model(source, quantization, out, Reporter(quiet=quiet), options)
    if not quiet:
        total = sum(file.nbytes for file in manifest.files)
        click.echo(f"{out}: {len(manifest.files) + 1} files, {total / 1e6:,.1f} MB")
        quoted = shlex.quote(str(out))
        click.echo(f"Next: webbuild inspect {quoted} · webbuild serve {quoted}")


@cli.command(short_help="Write a model with random weights, to try sizes and speeds.")
@click.argument("model")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--layers", type=click.IntRange(min=1), help="Fewer layers than the config has.")
@click.option("--force", is_flag=True, help="Replace a model that synth made.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
def synth(model: str, out: Path, seed: int, layers: int | None, force: bool, quiet: bool) -> None:
    """Write a Hugging Face folder with a true config and random weights.

    MODEL is an alias or a config.json. The folder packs and runs like the real model (and talks
    nonsense), so that size, memory and speed can be tested without a download.
    """
    from webbuild.pack import Reporter
    from webbuild.synth import synthesize

    nbytes = synthesize(model, out, Reporter(quiet=quiet), seed=seed, layers=layers, force=force)
    if not quiet:
        click.echo(f"{out}: {nbytes / 1e6:,.1f} MB of random weights")
        click.echo(f"Next: webbuild pack {shlex.quote(str(out))}")


@cli.command(short_help="Serve a pack or a site, or answer OpenAI's API with a pack.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--relay", is_flag=True, help="Let engines of two machines meet at /relay/TOKEN.")
@click.option("--api", is_flag=True, help="Answer OpenAI's API with the pack, and serve no files.")
@click.option(
    "--api-key",
    metavar="KEY",
    envvar="WEBBUILD_API_KEY",
    help="With --api: what requests must bring [made up, and printed; $WEBBUILD_API_KEY].",
)
@click.option(
    "--cors",
    "origins",
    metavar="ORIGIN",
    multiple=True,
    help="With --api: let pages of ORIGIN ask, or of any (*). Repeatable [none may].",
)
@click.option(
    "--backend",
    type=click.Choice(["browser", "dawn"]),
    help="With --api: what runs the model: a headless browser, or Node with Dawn [browser].",
)
@click.option(
    "--runtime",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="With --api: a built package [the repository's].",
)
def serve(folder: Path, host: str, port: int, relay: bool, api: bool, **options: Any) -> None:
    """Serve FOLDER, a pack or a site, as a static host should; or, with --api, its model.

    Ranges, immutable caching of hashed files, compressed text, the headers that give a page
    threads (COOP/COEP), and leave for any page to load a pack (CORS). Port 0 takes a free one.
    With --relay, two who open a WebSocket at /relay/TOKEN with one secret TOKEN exchange binary
    frames: docs/routing.md says how engines do. --host 0.0.0.0 lets other machines in.

    With --api the pack runs on this machine's GPU, and scripts and servers ask it as they ask
    OpenAI: http://127.0.0.1:8000/v1 is the base URL, the key is printed. Only this machine can
    ask, no page can, and nobody without the key, unless you say so: docs/http.md.

    \b
      webbuild serve packs/llama --api
      webbuild serve packs/llama --api --port 0 --backend dawn
      webbuild serve packs/llama --api --host 0.0.0.0 --cors https://chat.example.org
    """
    if not api:
        if given := [name for name, value in options.items() if value and name != "api_key"]:
            name = {"origins": "cors"}.get(given[0], given[0])
            raise InvalidOptionError(f"--{name} is an option of --api: add that, or leave it out")
        from webbuild.serve import serve_folder

        serve_folder(folder, host, port, click.echo, relay=relay)
        return
    if relay:
        raise InvalidOptionError("--relay serves beside files, --api serves none: start two")
    from webbuild.api import ApiOptions, serve_api

    token, backend = options.pop("api_key"), options.pop("backend") or "browser"
    chosen = ApiOptions(host=host, port=port, token=token, backend=backend, **options)
    serve_api(folder, chosen, click.echo)


def _lengths(_: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    """`128,1024` as numbers."""
    try:
        return tuple(int(part) for part in value.split(",")) if value else ()
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no list of lengths such as 128,1024", param=parameter
        ) from None


@cli.command(short_help="Show what a pack holds, and the memory that it needs.")
@click.argument("folder", metavar="PACK", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--verify", is_flag=True, help="Check size and SHA-256 of every file.")
@click.option(
    "--context",
    "contexts",
    metavar="LENGTHS",
    callback=_lengths,
    help="Contexts at which to count a decode step's bytes [128 and the pack's default].",
)
def inspect(folder: Path, as_json: bool, verify: bool, contexts: tuple[int, ...]) -> None:
    """Show what a PACK holds: model, program, memory, bytes per decoded token, and files."""
    from webbuild.inspect import print_report

    print_report(folder, as_json=as_json, verify=verify, contexts=contexts)


@cli.command(short_help="Compare a pack's logits with transformers'.")
@click.argument("folder", metavar="PACK", type=click.Path(path_type=Path))
@click.option(
    "--source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Compare with this Hugging Face folder, not with the pack's own weights.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors only.")
def verify(folder: Path, source: Path | None, quiet: bool) -> None:
    """Compare the logits of a PACK with transformers, on this machine's GPU.

    Runs every tier that the adapter can run. The reference is the model in float32 holding the
    weights of the pack, dequantised; with --source the checkpoint's own, and then the difference
    also holds what quantisation cost. Needs webbuild[dev].

    The error is the largest difference over the largest logit. Beyond the bound the command fails
    (status 2): 1e-3 in tier f32 and for int8 keys and values, 2e-2 in tier f16, 1e-5 for an
    encoder's vectors. --source adds 0.02 for q0f16, 0.2 for q8f16_1, 1 for q4f16_1, and 0.05 for
    int8 keys and values.
    """
    from webbuild.pack import Reporter
    from webbuild.verify import verify_pack

    verify_pack(folder, source, click.echo, Reporter(quiet=quiet))


@cli.command(short_help="Measure how fast a pack runs, or how two compare.")
@click.argument(
    "packs",
    metavar="PACK|REPORT [PACK2|REPORT2]",
    nargs=-1,
    type=click.Path(path_type=Path),
)
@click.option(
    "--in",
    "place",
    type=click.Choice(["chromium", "dawn", "native"]),
    default="chromium",
    show_default=True,
    help="Headless browser, Node with Dawn, or wgpu in Python.",
)
@click.option(
    "--in-b",
    "place_b",
    type=click.Choice(["chromium", "dawn", "native"]),
    help="Where B runs; with one PACK it runs that pack too.",
)
@click.option(
    "--prompt",
    "prompts",
    metavar="LENGTHS",
    callback=_lengths,
    help="Prompt lengths [128,1024,4096, clipped to the context].",
)
@click.option(
    "--context",
    "contexts",
    metavar="LENGTHS",
    callback=_lengths,
    help="More contexts to decode at, reached without prefill.",
)
@click.option("--tokens", type=int, default=32, show_default=True, help="Tokens to generate.")
@click.option("--tier", help="f16 or f32 [the best that the adapter can run].")
@click.option("--rounds", type=int, default=3, show_default=True, help="Rounds; the best counts.")
@click.option("--runtime", metavar="DIR", type=click.Path(path_type=Path), help="A built package.")
@click.option(
    "--runtime-b",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Another build, for B; with one PACK it runs that pack too.",
)
@click.option("--no-profile", is_flag=True, help="Do not time launches on the GPU.")
@click.option(
    "--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Write a report."
)
@click.option(
    "--trace", metavar="FILE", type=click.Path(path_type=Path), help="Write a Chrome trace."
)
@click.option(
    "--plot", metavar="FILE", type=click.Path(path_type=Path), help="Write a picture, SVG or PNG."
)
@click.option("-q", "--quiet", is_flag=True, help="Print tables, errors and warnings only.")
def bench(quiet: bool, no_profile: bool, **options: Any) -> None:
    """Measure how fast a PACK runs here, or how PACK2 (or another build) compares.

    Tokens per second of prefill and decode, calls and JavaScript time per token, memory bandwidth,
    GPU time of each kernel, parts of the load. Two sides take turns in one run: A B A B. A REPORT
    (.json) written before, here or by the demo site's benchmark page, is read again, and two are
    compared; but ratios within one run are the ones to trust.
    """
    from webbuild.bench import BenchOptions
    from webbuild.bench.command import bench as run_bench

    run_bench(BenchOptions(profile=not no_profile, **options), quiet)


@cli.command(short_help="Find the fastest kernels on a device, for packs to carry.")
@click.argument("folder", metavar="[PACK]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="OP",
    help="Tune one op: 'linear mode=gemv quant=q4 N=4096 K=4096'. Repeatable.",
)
@click.option(
    "--runner",
    "place",
    type=click.Choice(["wgpu", "dawn", "chromium", "browser"]),
    default="wgpu",
    show_default=True,
    help="wgpu in Python, Node with Dawn, a headless browser, or the one that opens the URL.",
)
@click.option("--ops", metavar="KERNELS", help="Kernels to tune, such as gemv,gemm,tvm [all].")
@click.option("--no-library", is_flag=True, help="PACK was made so: tune what TVM schedules.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the search for traces.")
@click.option("--tier", help="f16 or f32 [both].")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=120,
    show_default=True,
    help="Time for all kernels; each is measured once, however long that takes.",
)
@click.option(
    "-o",
    "--out",
    default="tuning.json",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Database to merge the records into.",
)
@click.option(
    "--rules", multiple=True, type=click.Path(path_type=Path), help="Python file with more rules."
)
@click.option("--runtime", metavar="DIR", type=click.Path(path_type=Path), help="A built package.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="With --runner browser: 0.0.0.0 lets a phone in.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="A free one [0].")
@click.option(
    "--certificate", type=click.Path(path_type=Path), help="PEM file: serve the page over https."
)
@click.option("--key", type=click.Path(path_type=Path), help="PEM file of the certificate's key.")
@click.option("-q", "--quiet", is_flag=True, help="Print tables, errors and warnings only.")
def tune(
    folder: Path | None,
    shapes: tuple[str, ...],
    ops: str | None,
    tier: str | None,
    seconds: float,
    out: Path,
    rules: tuple[Path, ...],
    no_library: bool,
    seed: int,
    quiet: bool,
    **runner: Any,
) -> None:
    """Find the fastest tunings of a PACK's kernels on a device, and keep them as records.

    Every candidate's results are compared with the default kernel's. `webbuild pack --records`
    puts the records into packs, whose runtimes then choose by them. To tune a phone, open the
    printed URL on it: docs/tuning.md says how.
    """
    from webbuild.pack import Reporter
    from webbuild.tune import RunnerOptions, TuneOptions
    from webbuild.tune import tune as run_tune

    kernels = tuple(ops.split(",")) if ops else ()
    options = TuneOptions(
        folder,
        shapes,
        RunnerOptions(**runner),
        kernels,
        tier,
        seconds,
        out,
        rules,
        not no_library,
        seed,
    )
    run_tune(options, Reporter(quiet=quiet))


def run(arguments: Sequence[str]) -> int:
    """Runs the command line and returns the exit code: 0, 2 for input errors, 130 for Ctrl-C, 1 for
    bugs and where nobody reads what is printed."""
    debug = "--debug" in arguments
    try:
        code = cli.main(_debug_first(arguments), prog_name="webbuild", standalone_mode=False)
        sys.stdout.flush()
    except WebbuildError as error:
        if debug:
            raise
        return _fail(type(error).__name__, str(error))
    except click.exceptions.Abort:
        return _fail("Interrupted", "nothing was kept", EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        return _fail("Interrupted", "nothing was kept", EXIT_INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EXIT_USER_ERROR
    except click.UsageError as error:
        context = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        return _fail("Usage", error.format_message() + context)
    except (BrokenPipeError, SystemExit):
        # The reader of a pipe went away (of which click and rich make the latter), and what was
        # under way may not have been done; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and (error.filename or error.errno in _FULL):
            return _fail(FileAccessError.__name__, _about_file(error))
        return _fail(
            "Internal",
            f"{type(error).__name__}: {error}; this is a bug in webbuild: run again with --debug "
            "and report the traceback",
            1,
        )
    return code if isinstance(code, int) else 0  # what click makes of its Exit


#: Errors that name no file: no space, a quota, a file that is too large.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _about_file(error: OSError) -> str:
    if error.errno in _FULL:
        where = f"{error.filename} cannot be written" if error.filename else "a write failed"
        return f"{where}: {error.strerror}; free some space, or name a place on another disk"
    return (
        f"{error.filename} cannot be used: {error.strerror}; see whether it is there, is a file, "
        "and is yours to read or write"
    )


def _debug_first(arguments: Sequence[str]) -> list[str]:
    """Lets --debug stand anywhere on the line."""
    rest = [argument for argument in arguments if argument != "--debug"]
    return [*(["--debug"] * (len(rest) < len(arguments))), *rest]


def _fail(name: str, message: str, code: int = EXIT_USER_ERROR) -> int:
    click.echo(f"error[{name}]: {' '.join(message.split())}", err=True)
    return code
