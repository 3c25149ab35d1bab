"""`glamm serve`: the service and its page."""

import tempfile
from pathlib import Path

from rich.console import Console

from glamm.errors import HostError
from glamm.serving.bento_process import last_lines, running_service
from glamm.serving.target import choose_target


def serve(
    model: Path = Path("data/models/glamm-tiny"), *, host: str = "127.0.0.1", port: int = 3000
) -> None:
    """Serve a model until Ctrl-C.

    Args:
        model: A model folder, or a file that `glamm package` wrote.
        host: Address to listen on; 0.0.0.0 accepts requests from other machines.
        port: To listen on.
    """
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    with tempfile.TemporaryDirectory(prefix="glamm-serve-") as scratch:
        target = choose_target(model, scratch=Path(scratch))
        console.print(f"starting {model} …")
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
