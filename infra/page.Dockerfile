# The page of `predictions web`, for a service of its own (page.tf): the client, without TensorFlow and without an engine.
# `make deploy` sets the base image with its digest.
ARG BASE=python:3.11-slim

FROM ${BASE} AS install
ARG LOCK=requirements.lock
COPY client/${LOCK} infra/slim.py /
RUN python -m venv /venv \
 && /venv/bin/pip install --no-compile --disable-pip-version-check --require-hashes -r /${LOCK} \
 && python /slim.py /venv \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib

FROM ${BASE}
RUN useradd --system --uid 10001 page
COPY --from=install /venv /venv
WORKDIR /app
COPY client client
COPY functions functions
COPY model model
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m compileall -q --invalidation-mode unchecked-hash client functions model \
 && python -c "import client.web.server, client.web.iap, client.report.drift, jwt, google.cloud.storage, google.cloud.pubsub_v1"
USER page
EXPOSE 8080
# Cloud Run's files are memory, and end with the instance.
CMD ["python", "-m", "client", "web", "--host", "0.0.0.0", "--port", "8080", "--state", "/tmp/jobs.db"]
