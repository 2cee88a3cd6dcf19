"""Prefect's server by itself: python -m pipeline.engines.prefect_server PORT.

What `prefect server start` runs, without Prefect's command line, whose import alone takes longer than a second.
"""

import gc
import sys

HOST = "127.0.0.1"  # of every server here


def serve(port: int) -> None:
    gc.disable()  # the imports make a million objects that stay
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(final=True)
    gc.freeze()
    gc.enable()
    uvicorn.run(app, host=HOST, port=port, log_level="warning")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
