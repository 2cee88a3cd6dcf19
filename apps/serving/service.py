"""The HTTP side of `gan serve`: what can be asked for, and how it is answered."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from types import ModuleType
from typing import Annotated

import numpy as np
import pydantic
from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from PIL import Image
from starlette.exceptions import HTTPException

from apps import truncation
from apps.serving import asked, page, reference
from apps.serving.following import Following, Served
from apps.serving.worker import Busy, TooSlow, Worker
from gan import images

RETRY_AFTER_S = 1


@dataclass(frozen=True)
class Service:
    """Answers, from the model that is served when a request comes in."""

    following: Following
    worker: Worker
    max_images: int

    def health(self) -> dict:
        """That this server answers, and with what."""
        served = self.following.served
        following = {"every_s": self.following.every_s, "trouble": self.following.trouble} if self.following.follows else None
        return {
            "ready": True, "ganline": version("ganline"), "model": self.following.model, "version": served.version,
            "weights_sha256": served.weights_sha256, "following": following,
        }  # fmt: skip

    def model(self) -> dict:
        """What the model makes, and what may be asked of it."""
        served = self.following.served
        card = served.generator.card
        return {
            "model": self.following.model, "version": served.version, "weights_sha256": served.weights_sha256,
            "shape": card.shape, "conditional": card.conditional, "classes": card.classes if card.conditional else [],
            "latent": card.latent, "network": card.network["name"],
            "truncation": truncation.untruncatable(served.generator) is None, "max_images": self.max_images,
        }  # fmt: skip

    async def images(self, wanted: asked.Asked) -> Response:
        """A grid as PNG, the same in JSON, or a PNG an image in JSON."""
        if wanted.count > self.max_images:
            raise asked.Refused(f"{wanted.count} images are asked for; this server makes at most {self.max_images} at a time")
        if (wanted.columns or 1) > self.max_images:
            raise asked.Refused(f"columns is {wanted.columns}; this server makes at most {self.max_images} images at a time")

        def answer(served: Served, batch: asked.Images, pixels: np.ndarray) -> Response:
            if wanted.format == "json":
                return JSONResponse(_about(served) | {"images": _each(served, batch, pixels)})
            grid = _png(images.grid(pixels, wanted.columns))
            if wanted.format == "base64":
                return JSONResponse(_about(served) | {"png": base64.b64encode(grid).decode()})
            return Response(grid, media_type="image/png")

        return await self._made(wanted, answer)

    async def image(self, seed: int, label: str | None) -> Response:
        """One image as it is, not enlarged."""
        wanted = asked.Asked(seeds=[seed], label=label)
        return await self._made(wanted, lambda served, made, pixels: Response(_png(images.to_pillow(pixels[0])), media_type="image/png"))

    async def _made(self, wanted: asked.Asked, answer: Callable[[Served, asked.Images, np.ndarray], Response]) -> Response:
        served = self.following.served
        made = asked.to_images(wanted, served.generator)
        response = await self.worker.run(lambda abandoned: answer(served, made, made.pixels(abandoned)))
        response.headers.update({"x-weights-sha256": served.weights_sha256, "x-model-version": served.version or "none"})
        return response


def _about(served: Served) -> dict:
    return {"version": served.version, "weights_sha256": served.weights_sha256}


def _each(served: Served, batch: asked.Images, pixels: np.ndarray) -> list[dict]:
    classes = served.generator.card.classes
    entries = []
    for place, image in enumerate(pixels):
        label = {} if batch.labels is None else {"label": int(batch.labels[place]), "class": classes[batch.labels[place]]}
        seed = {"step": place} if batch.seeds is None else {"seed": batch.seeds[place]}
        entries.append(seed | label | {"png": base64.b64encode(_png(images.to_pillow(image))).decode()})
    return entries


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


class Error(pydantic.BaseModel):
    """What every refusal says."""

    error: str = pydantic.Field(description="a sentence: what is wrong, and the way out")


REFUSALS = {
    400: "The body is no JSON, or the host asked for is not this machine.",
    401: "The server was started with a token, and the header Authorization: Bearer TOKEN is not there or is another.",
    408: "The body did not come in time.",
    413: "The body is larger than any that can be answered.",
    422: "What is asked for cannot be had of this model.",
    503: "Too many requests wait already; the header Retry-After says in how many seconds to ask again.",
    504: "The images were not made in time.",
}
ANY = (400, 401, 408, 413)
GRID: dict[str, dict] = {"image/png": {}, "application/json": {}}
MADE_BY = {name: {"description": words, "schema": {"type": "string"}} for name, words in {
    "X-Weights-Sha256": "of the weights that made it", "X-Model-Version": "of the registry; none for a folder",
}.items()}  # fmt: skip


def _responses(content: dict, *statuses: int, headers: dict | None = None) -> dict:
    """What a route may answer, for the page of the API and /openapi.json."""
    found = {status: {"description": REFUSALS[status], "model": Error} for status in sorted({*ANY, *statuses})}
    return {200: {"description": "Done.", "content": content, **({"headers": headers} if headers else {})}, **found}


def application(service: Service) -> FastAPI:
    """The routes. The page of the API is our own: FastAPI's fetches its script from elsewhere."""
    api = FastAPI(
        title="Ganline", version=version("ganline"), docs_url=None, redoc_url=None,
        description="Images by seed and label. The same seed, label and weights give the same image, whatever the batch.",
    )  # fmt: skip
    making = (422, 503, 504)
    api.get("/healthz", responses=_responses({"application/json": {}}))(service.health)
    api.get("/v1/model", responses=_responses({"application/json": {}}))(service.model)
    api.post("/v1/images", response_class=Response, responses=_responses(GRID, *making, headers=MADE_BY))(service.images)
    api.get("/v1/image/{seed}.png", response_class=Response, responses=_responses({"image/png": {}}, *making, headers=MADE_BY))(
        _one_image(service)
    )
    api.get("/", include_in_schema=False)(lambda: _page(page, page.document()))
    api.get("/docs", include_in_schema=False)(lambda: _page(reference, reference.document(api.openapi())))
    for kind, handler in HANDLERS.items():
        api.add_exception_handler(kind, handler)
    return api


def _page(of: ModuleType, document: str) -> HTMLResponse:
    return HTMLResponse(document, headers={"Content-Security-Policy": of.policy(document), "Referrer-Policy": "no-referrer"})


def _one_image(service: Service) -> Callable:
    async def image(
        seed: Annotated[int, Path(ge=0, lt=2**53, description="of the image")],
        label: Annotated[str | None, Query(max_length=asked.MOST_CHARACTERS, description="its class, by number or name")] = None,
    ) -> Response:
        """One image as it is, not enlarged."""
        return await service.image(seed, label)

    return image


def _refusal(status: int, sentence: str, headers: dict | None = None) -> JSONResponse:
    """The sentence may hold what was sent, and half a character in it cannot be sent back."""
    return JSONResponse({"error": sentence.encode("utf-8", "backslashreplace").decode()}, status, headers)


def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    problems = error.errors()
    if any(one["type"] == "json_invalid" for one in problems):
        return _refusal(400, f"the body is no JSON: {problems[0].get('ctx', {}).get('error', problems[0]['msg'])}")
    sentences = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg'].removeprefix('Value error, ')}".removeprefix(": ") for one in problems]
    return _refusal(422, "; ".join(sentences))


HANDLERS = {
    RequestValidationError: _invalid,
    asked.Refused: lambda request, error: _refusal(422, str(error)),
    HTTPException: lambda request, error: _refusal(error.status_code, f"{request.url.path}: {error.detail}", error.headers),
    Busy: lambda request, error: _refusal(503, "too many requests wait already; try again", {"Retry-After": str(RETRY_AFTER_S)}),
    TooSlow: lambda request, error: _refusal(504, "the images were not made in time; ask for fewer"),
    Exception: lambda request, error: _refusal(500, "this server failed; its own output says more"),
}
