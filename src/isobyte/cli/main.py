"""The command line: a table of commands, and one place where errors become exit codes."""

import contextlib
import errno
import importlib
import sys

from isobyte.errors import UserError, nearest

# command: module, function, one line of help. Modules are imported only when their command runs.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "study run": ("isobyte.cli.study", "run", "train every run of a study, fit, and write the report"),
    "study plan": ("isobyte.cli.study", "plan", "show what a study would run and what it costs"),
    "study status": ("isobyte.cli.study", "status", "show how far a study has come"),
    "study report": ("isobyte.cli.study", "report", "write a study's report again from its run folders"),
    "study fit": ("isobyte.cli.study", "fit", "fit scaling laws to the runs in a CSV or Parquet file"),
    "train": ("isobyte.cli.train", "train", "train one run"),
    "eval": ("isobyte.cli.eval", "evaluate", "bits per byte of a trained run on a file or its held-out text"),
    "sample": ("isobyte.cli.sample", "sample", "text from a trained run, by any method of its objective"),
    "compress": ("isobyte.cli.compress", "compress", "compress any file by a trained run"),
    "decompress": ("isobyte.cli.compress", "decompress", "give back what was compressed, bit for bit"),
    "audit": ("isobyte.cli.audit", "audit", "check that what a run reports as its likelihood is one"),
    "import": (
        "isobyte.cli.interchange",
        "import_",
        "make a run of a BLT checkpoint of transformers or of the released code",
    ),
    "export": ("isobyte.cli.interchange", "export", "write a run as a checkpoint of theirs"),
    "cost": ("isobyte.cli.cost", "cost", "parameters, FLOPs and memory of a recipe, from its config alone"),
    "cost published": (
        "isobyte.cli.cost_published",
        "published",
        "what Fast BLT's published savings are against an honest baseline",
    ),
    "data prepare": ("isobyte.cli.data", "prepare", "turn a corpus into checksummed shards of symbols"),
    "data info": ("isobyte.cli.data", "info", "what a prepared folder holds"),
    "data patches": ("isobyte.cli.data_patches", "patches", "show how a rule or a run groups a text into patches"),
    "data controls": (
        "isobyte.cli.data_controls",
        "controls",
        "what permutations keep of a text, and how near to a symbol lies what is shown",
    ),
    "bench train": (
        "isobyte.cli.bench",
        "train",
        "training throughput beside transformers and the machine's ceiling",
    ),
    "bench compress": (
        "isobyte.cli.bench",
        "compress",
        "runs beside gzip, xz, zstd, brotli and PPMd on one file",
    ),
    "bench sample": (
        "isobyte.cli.bench_sample",
        "sample",
        "generation with backbone blt beside the machine's ceiling and transformers, or method beside method",
    ),
    "doctor": ("isobyte.cli.doctor", "doctor", "what this machine offers and what is missing"),
}


def main() -> None:
    """Exit 0 done, 2 for what the user can mend, 130 for Ctrl-C; anything else is a defect of ours and exits 1."""
    try:
        sys.exit(_dispatch(sys.argv[1:]))
    except UserError as problem:
        print(f"isobyte: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("isobyte: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            sys.stdout.close()
        sys.exit(0)
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            "isobyte: the disk is full; free some space, and the same command goes on from here",
            file=sys.stderr,
        )
        sys.exit(2)


def _dispatch(arguments: list[str]) -> int:
    if arguments in (["--version"], ["-V"]):
        import isobyte

        print(isobyte.__version__)
        return 0
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return _call(name, arguments[words:])
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help(COMMANDS))
        return 0
    family = {name: row for name, row in COMMANDS.items() if name.split()[0] == arguments[0]}
    if family and (len(arguments) == 1 or arguments[1] in ("-h", "--help")):
        print(_help(family))
        return 0
    wrong = " ".join(arguments[:2] if family else arguments[:1])
    raise UserError(f"unknown command {wrong!r}", how=nearest(wrong, list(COMMANDS)))


def _call(name: str, arguments: list[str]) -> int:
    import tyro

    module, function, _ = COMMANDS[name]
    command = getattr(importlib.import_module(module), function)
    result = tyro.cli(command, args=arguments, prog=f"isobyte {name}", config=(tyro.conf.OmitSubcommandPrefixes,))
    return int(result or 0)


def _help(commands: dict[str, tuple[str, str, str]]) -> str:
    width = max(map(len, commands))
    lines = [f"  isobyte {name:<{width}}  {text}" for name, (_, _, text) in commands.items()]
    return "\n".join(
        [
            "Compare language-model designs at equal compute, in bits per byte that you can decode.",
            "",
            *lines,
            "",
            "Each takes --help. A recipe is a shipped name (quick, laptop, paper, ...) or a .toml file;",
            "key.path=value overrides what it says.",
        ]
    )


if __name__ == "__main__":
    main()
