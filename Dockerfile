# What a Docker or Kubernetes worker runs a checkout with (prefect.yaml, docs/scaling.md):
#   docker build -t ganline .
#   docker run --rm -v "$PWD:/home/ganline/project" ganline gan run
FROM python:3.11-slim

RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory "*" \
 && useradd --create-home ganline

WORKDIR /opt/ganline
COPY pyproject.toml constraints.txt README.md ./
COPY apps apps
COPY gan gan
COPY pipeline pipeline
COPY stages stages
RUN pip install --no-cache-dir -c constraints.txt uv \
 && uv pip install --system --no-cache -c constraints.txt '.[s3,dask]'

USER ganline
WORKDIR /home/ganline/project
ENV DO_NOT_TRACK=true DVC_NO_ANALYTICS=1 MLFLOW_DISABLE_TELEMETRY=true PYTHONUNBUFFERED=1
CMD ["gan", "--help"]
