"""tuspyserver in a FastAPI app under uvicorn, run by the interpreter of its own environment: PORT FOLDER."""

from __future__ import annotations

import importlib
import sys

import uvicorn
from fastapi import FastAPI


def main(port: int, folder: str) -> None:
    # Not a dependency of this project: only the environment that runs this file has it.
    tuspyserver = importlib.import_module("tuspyserver")
    app = FastAPI()
    app.include_router(tuspyserver.create_tus_router(prefix="files", files_dir=folder))
    uvicorn.run(
        app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )


main(int(sys.argv[1]), sys.argv[2])
