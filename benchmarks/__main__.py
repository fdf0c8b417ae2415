"""``python -m benchmarks``: where the package stands.

Without a command: our estimators and their peers on three small sets, one seed, measured here in
some ten minutes on two cores, and the table of it. Its runs are kept in ``benchmarks/local``, which
git ignores. All other commands keep theirs in ``benchmarks/results``, where ours are, unless
``--results`` names another folder.

    python -m benchmarks peers --budget full        all data sets, three seeds: hours on two cores
    python -m benchmarks papers --budget quick      the papers' rows on subsets; default, full
    python -m benchmarks engine                     against bare torch loops and ClustPy; growth
    python -m benchmarks selection                  scores against accuracy; numbers of clusters
    python -m benchmarks tables                     the tables, also of README and docs; a picture

A run whose file is there is not run again; one that was interrupted leaves none.
"""

from __future__ import annotations

import argparse

from . import (
    blobs,
    dvc,
    engine,
    neural_mixture_em,
    papers,
    peers,
    precise_feature_gan,
    readme,
    recipes,
    selection,
    stat_dec,
)
from ._record import COMMITTED, LOCAL, add_options, results, use_options


def tables() -> None:
    for module in (stat_dec, dvc, neural_mixture_em, precise_feature_gan, blobs, recipes):
        module.BENCH.table()
    papers.table()
    peers.table()
    selection.table()
    engine.table()
    if results() == COMMITTED:  # the figures of README and docs, of a CPU
        readme.main()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command")
    for name, budgets, names in (
        ("peers", ("quick", "full"), peers.DATA),
        ("papers", papers.BUDGETS, papers.ROWS),
    ):
        command = commands.add_parser(name)
        command.add_argument("--budget", choices=budgets, default="quick")
        command.add_argument("--data", nargs="+", choices=names, metavar="NAME", dest="names")
        command.add_argument("--seeds", nargs="+", type=int)
        if name == "peers":
            command.add_argument("--only", nargs="+", choices=peers.METHODS, metavar="METHOD")
            command.add_argument(
                "--jobs", type=int, help="runs at a time, by default 2, or 1 on a GPU"
            )
    commands.add_parser("engine").add_argument("parts", nargs="*", metavar="PART")
    command = commands.add_parser("selection")
    command.add_argument("--only", nargs="+", choices=selection.RUNS, metavar="ESTIMATOR")
    command.add_argument("--seeds", nargs="+", type=int)
    commands.add_parser("tables")
    for command in (parser, *commands.choices.values()):
        add_options(command)
    arguments = parser.parse_args()
    options = use_options(arguments, COMMITTED if arguments.command else LOCAL)
    command = options.pop("command")
    if command == "papers":
        papers.main(**options)
        papers.table()
    elif command == "engine":
        engine.main(**options)
    elif command == "selection":
        selection.main(**options)
    elif command == "tables":
        tables()
    else:
        peers.main(**options)
        peers.table()


if __name__ == "__main__":
    main()
