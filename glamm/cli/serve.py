"""`glamm serve`: the service and its page."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console

from glamm.config.dtype import DTypeName
from glamm.errors import HostError
from glamm.files import scratch_folder
from glamm.serving.bento_process import last_lines, running_service
from glamm.serving.settings import ServiceSettings
from glamm.serving.target import choose_target


def serve(
    model: Path = Path("data/models/glamm-tiny"),
    *,
    host: str = "127.0.0.1",
    port: int = 3000,
    device: str | None = None,
    dtype: DTypeName | None = None,
    timeout: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
) -> None:
    """Serve a model until Ctrl-C.

    Args:
        model: A model folder, or a file that `glamm package` wrote.
        host: Address to listen on; 0.0.0.0 accepts requests from other machines.
        port: To listen on.
        device: auto (the first CUDA GPU if there is one, else the CPU), cpu, cuda or cuda:1. This option, like the next
            ones, overrides what was packed into a Bento.
        dtype: Type in which the weights are held and used; that of the model folder by default.
        timeout: Seconds after which a request that is not answered gets status 504; 120 by default.
    """
    given = {"device": device, "dtype": dtype, "timeout": timeout}
    settings = ServiceSettings(
        **{name: value for name, value in given.items() if value is not None}
    )
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    with scratch_folder("glamm-serve-") as scratch:
        target = choose_target(model, scratch=scratch, settings=settings.as_environment())
        console.print(f"starting {model} ...")
        with running_service(
            target.name,
            folder=target.folder,
            environment=target.environment,
            port=port,
            scratch=scratch,
            host=host,
        ) as service:
            console.print(f"the page: {service.url}/   (Ctrl-C ends it)")
            code = service.process.wait()
            raise HostError(
                f"the service ended by itself with code {code}. Its last lines:\n{last_lines(service.log)}"
            )
