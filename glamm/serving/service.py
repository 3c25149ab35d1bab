"""The BentoML service: an image and a question in, text and masks out."""

import functools
import time

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from glamm.errors import BusyError, GlammError, RequestError
from glamm.inference.answer_json import answer_to_json
from glamm.inference.engine_options import EngineOptions
from glamm.serving.body_limit import BodyLimit
from glamm.serving.manifest import Manifest
from glamm.serving.model_location import find_model
from glamm.serving.multipart_form import FormContent, read_form
from glamm.serving.page import render_page
from glamm.serving.schemas import (
    ErrorResponse,
    GroundForm,
    GroundResponse,
    TimingsModel,
)
from glamm.serving.settings import ServiceSettings
from glamm.serving.worker_pool import WorkerPool

ENGINE_OPTIONS = EngineOptions(max_batch_size=16, max_waiting=16)
"""Requests that run together, and the length of the queue: at a second each, later ones would wait too long."""

SETTINGS = ServiceSettings.read(find_model().root)


@functools.cache
def _manifest() -> Manifest:
    return find_model().read_manifest()


def _show_page(_: Request) -> Response:
    return HTMLResponse(render_page())


def _show_lineage(_: Request) -> Response:
    return JSONResponse(_manifest().model_dump(mode="json"))


_pages = Starlette(routes=[Route("/", _show_page), Route("/lineage", _show_lineage)])


class GroundingService:
    """Answers questions about images with text and a segmentation mask for every grounded phrase."""

    def __init__(self) -> None:
        # `bentoml build` does not need torch and transformers
        from glamm.allocator import tune_allocator  # noqa: PLC0415
        from glamm.inference.predictor import GroundedPredictor  # noqa: PLC0415

        tune_allocator()
        self._predictor = GroundedPredictor.from_checkpoint(
            find_model().model,
            device=SETTINGS.device,
            dtype=SETTINGS.dtype,
            options=ENGINE_OPTIONS,
        )
        self._version = _manifest().version
        self._workers = WorkerPool(
            max_running=ENGINE_OPTIONS.max_batch_size, max_waiting=ENGINE_OPTIONS.max_waiting
        )

    @bentoml.api(
        route="/ground",
        input_spec=GroundForm,
        output_spec=GroundResponse,  # pyright: ignore[reportArgumentType] - it also takes plain pydantic models
    )
    async def ground(self, ctx: bentoml.Context, **_documented: object) -> Response:
        """Answer a question about an image; boxes are optional."""
        try:
            form = await read_form(ctx.request)
            received_at = time.perf_counter()
            response = await self._workers.run(functools.partial(self._answer, form, received_at))
        except RequestError as error:
            return _refuse(ctx, error, status=400)
        except BusyError as error:
            return _refuse(ctx, error, status=503)
        return Response(response.model_dump_json(), media_type="application/json")

    def _answer(self, form: FormContent, received_at: float) -> GroundResponse:
        started_at = time.perf_counter()
        answer = answer_to_json(
            self._predictor.ground(
                form.image,
                form.question,
                boxes=form.boxes,
                max_new_tokens=form.max_new_tokens,
            )
        )
        timings = TimingsModel(
            waiting=started_at - received_at, answering=time.perf_counter() - started_at
        )
        return GroundResponse(**dict(answer), timings=timings, model_version=self._version)

    @bentoml.on_shutdown
    def shutdown(self) -> None:
        """Wait for the running requests."""
        self._workers.shutdown()


def _refuse(ctx: bentoml.Context, error: GlammError, *, status: int) -> Response:
    ctx.response.status_code = status  # BentoML replaces the response's own status with this one
    return JSONResponse(ErrorResponse(error=str(error)).model_dump(), status)


# A call instead of a decorator: the tests' shape checks decorate classes, and a Service is no class.
GLaMMService = bentoml.service(
    name="glamm-service", workers=1, traffic={"timeout": SETTINGS.timeout}
)(GroundingService)
GLaMMService.mount_asgi_app(_pages, path="/")
GLaMMService.add_asgi_middleware(BodyLimit)  # pyright: ignore[reportArgumentType] - their protocol describes an instance
