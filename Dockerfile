# The worker: slim, not root, no TensorFlow. Push by default; `python -m functions.worker` for a worker pool.
FROM python:3.11-slim AS install
COPY functions/requirements.lock /requirements.lock
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /requirements.lock \
 # 19 MB of GPU code and the tests of others: nothing here runs them.
 && find /venv -name 'libLiteRtWebGpuAccelerator.so' -delete \
 && find /venv -type d -name tests -prune -exec rm -rf {} + \
 && /venv/bin/python -c "import ai_edge_litert.interpreter, functions_framework, google.cloud.pubsub_v1, google.cloud.storage"

FROM python:3.11-slim
RUN useradd --system --uid 10001 worker
COPY --from=install /venv /venv
WORKDIR /app
COPY functions functions
COPY model model
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8080 THREADS=8
RUN python -m compileall -q functions model
USER worker
EXPOSE 8080
CMD ["functions-framework", "--source", "functions/main.py", "--target", "serve", "--host", "0.0.0.0"]
