"""`glamm serve`: the service and its page."""

from pathlib import Path

from cyclopts import App

app = App(name="serve", help="Start the service and its page.")


@app.default
def serve(
    what: Path = Path("data/models/glamm-tiny"), *, host: str = "127.0.0.1", port: int = 3000
) -> None:
    """Serve a model until Ctrl-C.

    Args:
        what: A model folder, or a file that `glamm package` wrote.
        host: Address to listen on; 0.0.0.0 lets other machines ask.
        port: To listen on.
    """
    import tempfile  # noqa: PLC0415 - keeps `glamm --help` quick

    from rich.console import Console  # noqa: PLC0415

    from glamm.errors import HostError  # noqa: PLC0415
    from glamm.serving.bento_process import last_lines, running_service  # noqa: PLC0415
    from glamm.serving.target import choose_target  # noqa: PLC0415

    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    with tempfile.TemporaryDirectory(prefix="glamm-serve-") as scratch:
        target = choose_target(what, scratch=Path(scratch))
        console.print(f"starting {what} …")
        with running_service(
            target.name,
            folder=target.folder,
            environment=target.environment,
            port=port,
            log=Path(scratch) / "service.log",
            host=host,
        ) as service:
            console.print(f"the page: {service.url}/   (Ctrl-C ends it)")
            code = service.process.wait()
            raise HostError(
                f"the service ended by itself with code {code}. Its last lines:\n{last_lines(service.log)}"
            )
