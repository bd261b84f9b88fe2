"""The subcommands of `rerun-mp`: their arguments and exit statuses."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.live import Live

from rerun_mp.api.init import version as versions
from rerun_mp.cli import rendering as tables
from rerun_mp.cli.scrolling import Keys, Scrolled
from rerun_mp.errors import RerunMpError
from rerun_mp.monitoring import overview
from rerun_mp.printable import printable

__all__ = ["app"]

LOOK_SECS = 0.3
"""Seconds between the two looks that `status` computes rates from."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Rerun for programs of many processes: run them, watch their sessions, recover killed ones.",
    epilog="Exit status: 0 all is well, 1 a problem, which is printed, 2 a wrong call.",
)


@contextlib.contextmanager
def _errors_as_lines() -> Iterator[None]:
    """Print an error of this package as a line, and exit with 1."""
    try:
        yield
    except RerunMpError as error:
        sys.stderr.write(f"rerun-mp: {printable(str(error))}\n")
        raise typer.Exit(1) from error


def _names(incomplete: str) -> list[str]:
    """Return the sessions that a shell completes."""
    return [view.name for view in overview.look()[0] if view.name.startswith(incomplete)]


Mode = Annotated[
    Literal["new", "append", "resume"],
    typer.Option(help="With --save: replace the file, add to it, or go on with its last recording."),
]
Sessions = Annotated[
    list[str] | None,
    typer.Argument(metavar="SESSION", help="Names, as `status` shows them; by default all.", autocompletion=_names),
]


@app.callback(invoke_without_command=True)
def _main(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the versions, for bug reports, and exit.")] = False,
) -> None:
    if version:
        print(versions())
        raise typer.Exit


@app.command(
    epilog="[bold]Examples[/]\n\n  rerun-mp status\n\n  rerun-mp status --json | jq '.sessions[].dropped'\n\n"
    "Exit status: 1 if rows were dropped, or a session has no collector."
)
def status(
    sessions: Sessions = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show each process's rows, how full the ring is, dropped rows, and the state of the sinks."""
    views, problems = _look(sessions)
    rates = tables.Rates()
    rates.note(views)
    if views and not as_json:
        time.sleep(LOOK_SECS)
        views, problems = _look(sessions)
        rates.note(views)
    if as_json:
        print(json.dumps({"sessions": [view.to_json() for view in views], "problems": problems}))
    else:
        Console().print(tables.overview(views, rates, problems))
    is_well = all(not view.dropped and view.state in ("live", "ending") for view in views) and not problems
    raise typer.Exit(0 if is_well else 1)


@app.command(
    epilog="[bold]Examples[/]\n\n  rerun-mp top\n\n  rerun-mp top --every 0.2\n\n"
    "Arrows, space and b scroll; q or Ctrl-C ends it."
)
def top(
    sessions: Sessions = None,
    *,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.05)] = 1.0,
    times: Annotated[int | None, typer.Option(help="End after so many looks.", min=1)] = None,
) -> None:
    """Show the tables of `status`, live."""
    rates = tables.Rates()
    looks, first = 0, 0
    try:
        with Live(console=Console(), auto_refresh=False, screen=sys.stdout.isatty()) as live, Keys() as keys:
            while True:
                views, problems = _look(sessions)
                rates.note(views)
                shown = tables.overview(views, rates, problems)
                looks += 1
                until = time.monotonic() + every
                while True:
                    part = Scrolled(shown, first) if sys.stdout.isatty() else None
                    live.update(part or shown, refresh=True)
                    if looks == times:
                        return
                    move = keys.wait(max(0.0, until - time.monotonic()))
                    if move is None:
                        return
                    first = max(0, (part.first if part else 0) + move)
                    if time.monotonic() >= until:
                        break
    except KeyboardInterrupt:
        return


@app.command(
    epilog="[bold]Examples[/]\n\n  rerun-mp runs recordings\n\n  rerun-mp runs recordings --open\n\n"
    "Exit status: 1 if a recording cannot be read; with --open, the viewer's."
)
def runs(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the .rrd files are.", exists=True, file_okay=False)
    ] = Path(),
    *,
    opens: Annotated[bool, typer.Option("--open", help="Open them all in one viewer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the recordings of a directory: application, start, duration, rows, and how they ended."""
    from rerun_mp.cli.runs import find_runs, open_runs

    found = find_runs(directory)
    if as_json:
        print(json.dumps([run._asdict() for run in found]))
    else:
        Console().print(tables.runs(found, directory))
    if opens and found:
        raise typer.Exit(open_runs(found))
    raise typer.Exit(1 if any(run.failure for run in found) else 0)


@app.command(
    epilog="[bold]Examples[/]\n\n  rerun-mp snapshot\n\n  rerun-mp snapshot 446851b8a309f87f --into incident.rrd\n\n"
    "Exit status: 0 if the file is complete, 1 if not, with the reason."
)
def snapshot(
    session: Annotated[
        str | None, typer.Argument(metavar="[SESSION]", help="By default the only one.", autocompletion=_names)
    ] = None,
    *,
    into: Annotated[Path | None, typer.Option(help="The .rrd file; by default APPLICATION-TIME.rrd here.")] = None,
    recording: Annotated[str | None, typer.Option(metavar="ID", help="By default the only one.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.", min=0)] = 60.0,
) -> None:
    """Write all rows that a running session still has, such as the last 60 s of a window, into one file."""
    from rerun_mp.cli.snapshot import choose, default_path, take

    views, _ = _look(None if session is None else [session])
    with _errors_as_lines():
        view, key = choose(views, recording)
        path = default_path(key.application_id) if into is None else str(into)
        size = take(view, key, path, timeout)
        print(f"{printable(path)}: {size / 1e6:,.1f} MB of {printable(key.application_id)}")


@app.command(
    epilog="[bold]Examples[/]\n\n  rerun-mp recover --list\n\n  rerun-mp recover --into ~/rescued\n\n"
    "Exit status: 0 if nothing is left to recover, 1 if something could not be recovered, with the reason."
)
def recover(
    sessions: Sessions = None,
    *,
    only_list: Annotated[bool, typer.Option("--list", help="Only print the leftover sessions.")] = False,
    into: Annotated[Path | None, typer.Option(help="Directory for rows without a file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print problems only.")] = False,
) -> None:
    """Bring the rows of killed programs into their files, each row once, and remove the rest."""
    from rerun_mp.cli.recover import recover

    directory = None if into is None else str(into)
    raise typer.Exit(recover(sessions or (), only_list=only_list, into=directory, quiet=quiet))


@app.command(
    epilog="[bold]Example[/]\n\n  rerun-mp send run.rrd rerun+http://127.0.0.1:9876/proxy\n\n"
    "Exit status: 0 if the server has acknowledged every row, 1 if not."
)
def send(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="The .rrd files.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="The viewer or server.")],
) -> None:
    """Send recordings to a viewer or server. It shows no row twice that it has already."""
    from rerun_mp.cli.send import send

    raise typer.Exit(send(files, url))


@app.command(
    epilog="[bold]Examples[/]\n\n  rerun-mp head --dir runs/\n\n  rerun-mp head --dir runs/ --bind 0.0.0.0\n\n"
    "Ctrl-C ends it. Exit status: 1 if a server cannot be started."
)
def head(
    directory: Annotated[Path, typer.Option("--dir", help="Directory for the parts.")],
    *,
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the live view; parts come on the next one.")] = 9876,
    web_viewer: Annotated[bool, typer.Option("--web-viewer", help="Serve the web viewer, too.")] = False,
    memory_limit: Annotated[str, typer.Option(help="Memory of the live view.")] = "1GiB",
    catalog: Annotated[int | None, typer.Option(help="Start Rerun's catalog server on this port.")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Only print the nodes.")] = False,
) -> None:
    """Receive live rows and parts of all hosts of a job, into one directory."""
    from rerun_mp.cli.head import main

    arguments = [f"--dir={directory}", f"--bind={bind}", f"--port={port}", f"--memory-limit={memory_limit}"]
    arguments += [] if catalog is None else [f"--catalog={catalog}"]
    raise typer.Exit(main([*arguments, *["--web-viewer"] * web_viewer, *["--list"] * only_list]))


@app.command(
    epilog="[bold]Example[/]\n\n  rerun-mp nodes runs/\n\n"
    "Exit status: 1 if a node has not ended, or some of its rows have not come."
)
def nodes(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The head's directory.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """List a head's nodes: when each was last seen, and how many of its rows have arrived."""
    from rerun_mp.cli.nodes import main

    raise typer.Exit(main([str(directory), *["--json"] * as_json]))


@app.command(
    epilog="[bold]Examples[/]\n\n  rerun-mp ship\n\n  rerun-mp ship ~/parts /mnt/shared/runs\n\n"
    "Exit status: 1 if something is left."
)
def ship(
    directory: Annotated[
        str | None, typer.Argument(metavar="DIR", help="Directory of the parts; by default where programs put them.")
    ] = None,
    target: Annotated[
        str | None, typer.Argument(metavar="TO", help="Target of the parts; by default each part's own.")
    ] = None,
    *,
    takes_all: Annotated[bool, typer.Option("--all", help="Bring parts that go to other targets to TO, too.")] = False,
    seconds: Annotated[float, typer.Option("--for", help="Seconds to keep trying.", min=0)] = 0.0,
    follow: Annotated[
        bool, typer.Option("--follow", help="Ship parts as they come, until SIGTERM, and then once more.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing.")] = False,
) -> None:
    """Bring the parts that this host still has to the head."""
    from rerun_mp.cli.ship import ship

    if takes_all and target is None:
        raise typer.BadParameter("--all needs DIR and TO")
    raise typer.Exit(ship(directory, target, takes_all=takes_all, seconds=seconds, is_following=follow, quiet=quiet))


def _look(sessions: list[str] | None) -> tuple[list[overview.SessionView], list[str]]:
    """Return the views of the named sessions, or all views and the problems of reading them."""
    views, problems = overview.look()
    if not sessions:
        return views, problems
    unknown = set(sessions) - {view.name for view in views}
    if unknown:
        raise typer.BadParameter(f"there is no session {', '.join(sorted(unknown))}")
    return [view for view in views if view.name in sessions], []


@app.command(epilog="[bold]Example[/]\n\n  rerun-mp doctor\n\nExit status: 1 if there is a problem.")
def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False) -> None:
    """Check what rerun_mp needs of this machine, and say for each problem what to do."""
    from rerun_mp.cli.doctor import examine

    checks = list(examine())
    if as_json:
        print(json.dumps([check._asdict() for check in checks]))
    else:
        Console().print(tables.checks(checks))
    raise typer.Exit(1 if any(check.verdict == "problem" for check in checks) else 0)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="[bold]Examples[/]\n\n  rerun-mp run --save run.rrd -- python train.py --epochs 3\n\n"
    "  rerun-mp run --viewer -- torchrun --nproc-per-node 2 train.py\n\n"
    "Exit status: the program's; 126 if it cannot be started, 127 if it does not exist.",
)
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="The program and its arguments.")],
    *,
    save: Annotated[Path | None, typer.Option(help="Save to this .rrd file.")] = None,
    mode: Mode = "new",
    viewer: Annotated[bool, typer.Option("--viewer", help="Show in a viewer; start one if none listens.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the web viewer on the loopback interface.")] = False,
    headless: Annotated[bool, typer.Option("--headless", help="With --viewer: without a window.")] = False,
) -> None:
    """Run any program, and capture all that it and its child processes log with rerun_mp or rerun."""
    from rerun_mp.cli.run import Destination, run

    destination = Destination(None if save is None else str(save), viewer, serve, headless, mode)
    with _errors_as_lines():
        raise typer.Exit(run(command, destination))


@app.command(
    epilog="[bold]Examples[/]\n\n  rerun-mp serve robot-7 --save robot.rrd --rotate-seconds 3600\n\n"
    "  rerun-mp serve robot-7 --viewer\n\nExit status: 1 if the session or a sink cannot be created."
)
def serve(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in rr.init(..., session=NAME).")],
    *,
    save: Annotated[Path | None, typer.Option(help="Save to this .rrd file.")] = None,
    mode: Mode = "new",
    rotate_seconds: Annotated[float | None, typer.Option(help="With --save: seconds after which a part ends.")] = None,
    rotate_bytes: Annotated[int | None, typer.Option(help="With --save: a part ends at this size.")] = None,
    keep_parts: Annotated[int | None, typer.Option(help="With --save: number of complete parts that stay.")] = None,
    viewer: Annotated[bool, typer.Option("--viewer", help="Show in a viewer; start one if none listens.")] = False,
    headless: Annotated[bool, typer.Option("--headless", help="With --viewer: without a window.")] = False,
    connect: Annotated[str | None, typer.Option(metavar="URL", help="Send to this viewer or server.")] = None,
) -> None:
    """Hold a session with a name open, for processes that are started independently."""
    from rerun_mp.api.sinks import FileSink, GrpcSink
    from rerun_mp.cli.run import viewer_sink
    from rerun_mp.cli.serve import serve
    from rerun_mp.session.rotation import Rotation

    with _errors_as_lines():
        sinks = []
        if save is not None:
            given = (rotate_seconds, rotate_bytes, keep_parts)
            rotation = Rotation(bytes=rotate_bytes, seconds=rotate_seconds, keep_parts=keep_parts)
            sinks.append(FileSink(save, rotate=rotation if any(given) else None, mode=mode).spec(None))
        if viewer:
            sinks.append(viewer_sink(headless=headless))
        if connect is not None:
            sinks.append(GrpcSink(connect).spec(None))
        raise typer.Exit(serve(name, sinks))


@app.command(
    epilog="[bold]Examples[/]\n\n  rerun-mp stop 446851b8a309f87f\n\n  rerun-mp stop --all --kill --timeout 30\n\n"
    "Exit status: 1 if a process is still there after the timeout."
)
def stop(
    sessions: Annotated[
        list[str] | None,
        typer.Argument(metavar="SESSION", help="Names, as `status` shows them.", autocompletion=_names),
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All sessions of this user.")] = False,
    kill: Annotated[bool, typer.Option("--kill", help="SIGKILL processes that live 3 s after SIGTERM.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.", min=0)] = 60.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """End the processes of sessions, and wait until their rows are in their files."""
    from rerun_mp.cli.stop import stop

    if bool(sessions) == every:
        raise typer.BadParameter("name the sessions to stop (`rerun-mp status` lists them), or give --all")
    views, _ = _look(sessions)
    if not views:
        print("no sessions")
        return
    pids = [pid for view in views for pid in view.participants]
    if not yes:
        typer.confirm(f"end {len(pids)} processes ({', '.join(map(str, pids))})?", abort=True)
    unstopped = [(view, alive) for view in views if (alive := stop(view, timeout=timeout, kill=kill))]
    for view, alive in unstopped:
        sys.stderr.write(f"rerun-mp: {view.name}: processes {', '.join(map(str, alive))} are still there; try --kill\n")
    raise typer.Exit(1 if unstopped else 0)
