# The training worker, with TensorFlow: docker build -f train.Dockerfile -t IMAGE . (docs/registry.md#retrain-in-the-cloud)
ARG BASE=python:3.11-slim
FROM ${BASE}
RUN useradd --system --uid 10001 worker
COPY functions/requirements.lock model/requirements.txt /tmp/
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/requirements.lock \
 && pip install --no-cache-dir --disable-pip-version-check -r /tmp/requirements.txt
WORKDIR /app
COPY functions functions
COPY model model
# Keras keeps the weights of backbones that it downloads in KERAS_HOME; Cloud Run's file system is memory.
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp KERAS_HOME=/tmp/keras
USER worker
CMD ["python", "-m", "functions.entrypoints.train_worker", "--until-idle", "60"]
