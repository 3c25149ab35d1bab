"""The BentoML service: images and questions in, words and masks out."""

import functools
import time

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from glamm.errors import BusyError, GlammError, RequestError
from glamm.inference.answer_json import answer_to_json
from glamm.serving.body_limit import BodyLimit
from glamm.serving.manifest import Manifest
from glamm.serving.model_location import PAGE, find_places
from glamm.serving.multipart_form import Question, read_form
from glamm.serving.schemas import (
    ErrorResponse,
    GroundForm,
    GroundResponse,
    TimingsModel,
)
from glamm.serving.worker_pool import AnsweringThreads

MAX_RUNNING = 16
"""Questions that are answered together."""

MAX_WAITING = 16
"""Questions in the queue; at a second each, whoever comes later would not wait for an answer."""

TIMEOUT_S = 120


@functools.cache
def _manifest() -> Manifest:
    return find_places().read_manifest()


def _show_page(_: Request) -> Response:
    return FileResponse(PAGE)


def _show_lineage(_: Request) -> Response:
    return JSONResponse(_manifest().model_dump(mode="json"))


_pages = Starlette(routes=[Route("/", _show_page), Route("/lineage", _show_lineage)])


class GroundingService:
    """Talk about an image and get, for every grounded phrase, a segmentation mask."""

    def __init__(self) -> None:
        import torch  # noqa: PLC0415 - `bentoml build` need not wait for torch and transformers

        from glamm.allocator import tune_allocator  # noqa: PLC0415
        from glamm.inference.predictor import GroundedPredictor  # noqa: PLC0415

        tune_allocator()
        places = find_places()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._predictor = GroundedPredictor.from_checkpoint(places.model, device=device)
        self._version = _manifest().version
        self._threads = AnsweringThreads(max_running=MAX_RUNNING, max_waiting=MAX_WAITING)

    @bentoml.api(
        route="/ground",
        input_spec=GroundForm,
        output_spec=GroundResponse,  # pyright: ignore[reportArgumentType] - it also takes plain pydantic models
    )
    async def ground(self, ctx: bentoml.Context, **_documented: object) -> Response:
        """Ask about an image: an image file, a question and, if wanted, boxes."""
        try:
            question = await read_form(ctx.request)
            asked_at = time.perf_counter()
            answer = await self._threads.run(functools.partial(self._answer, question, asked_at))
        except RequestError as error:
            return _refuse(ctx, error, status=400)
        except BusyError as error:
            return _refuse(ctx, error, status=503)
        return Response(answer.model_dump_json(), media_type="application/json")

    def _answer(self, question: Question, asked_at: float) -> GroundResponse:
        started_at = time.perf_counter()
        answer = self._predictor.ground(question.image, question.text, boxes=question.boxes)
        packed = answer_to_json(answer).model_dump()
        timings = TimingsModel(
            waiting=started_at - asked_at, answering=time.perf_counter() - started_at
        )
        return GroundResponse(**packed, timings=timings, model_version=self._version)

    @bentoml.on_shutdown
    def shutdown(self) -> None:
        """Let the running questions end."""
        self._threads.shutdown()


def _refuse(ctx: bentoml.Context, error: GlammError, *, status: int) -> Response:
    ctx.response.status_code = status  # BentoML puts this one over the response's own
    return JSONResponse(ErrorResponse(error=str(error)).model_dump(), status)


# A call instead of a decorator: shape checks of the tests decorate classes, and a Service is none any more.
GLaMMService = bentoml.service(name="glamm-service", workers=1, traffic={"timeout": TIMEOUT_S})(
    GroundingService
)
GLaMMService.mount_asgi_app(_pages, path="/")
GLaMMService.add_asgi_middleware(BodyLimit)  # pyright: ignore[reportArgumentType] - their protocol describes an instance
