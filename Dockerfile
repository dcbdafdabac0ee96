# The worker: slim, not root, no TensorFlow. Push by default; `python -m functions.entrypoints.pull_worker` for a worker pool.
# `make deploy` sets the base image with its digest.
ARG BASE=python:3.11-slim

FROM ${BASE} AS install
# What is installed: requirements-onnx.lock adds ONNX Runtime, requirements-gpu-*.lock ONNX Runtime or TensorFlow with
# CUDA. `make deploy` sets it for an artifact, and a GPU, that needs it; Cloud Run adds NVIDIA's driver.
# requirements-kafka.lock adds Kafka.
ARG LOCK=requirements.lock
# What is installed too: requirements-kafka.lock adds Kafka's client, for a worker with `compute = "kafka"`.
ARG ALSO=requirements.lock
COPY functions/${LOCK} functions/${ALSO} infra/slim.py /
# Bytecode is made last, of what is left, and trusted unread: an image's files may lose their times on the way.
RUN python -m venv /venv \
 && /venv/bin/pip install --no-compile --disable-pip-version-check --require-hashes -r /${LOCK} -r /${ALSO} \
 && python /slim.py /venv \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib

FROM ${BASE}
RUN useradd --system --uid 10001 worker
COPY --from=install /venv /venv
WORKDIR /app
COPY functions functions
COPY model model
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8080 THREADS=8
# Nothing here multiplies large matrices with numpy: its threads would only spin beside each start.
ENV OPENBLAS_NUM_THREADS=1
RUN python -m compileall -q --invalidation-mode unchecked-hash functions model \
 && python -c "import ai_edge_litert.interpreter, google.cloud.storage, functions.main, functions.entrypoints.server, functions.entrypoints.pull_worker, functions.entrypoints.batch_publish, functions.entrypoints.scale_pool"
USER worker
EXPOSE 8080
CMD ["python", "-m", "functions.runtime.fast_start", "functions.entrypoints.server", "--host", "0.0.0.0"]
