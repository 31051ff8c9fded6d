# Everything in one container: API, worker and the built-in Redis; what `python api_server.py` starts.
# It starts as root only to own the mounted folders, and becomes the user 10001 before anything of the service runs.
# Build: docker build -t megatts3 .
FROM debian:bookworm-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH
# No versions pinned: Debian's stable release keeps its own, and security fixes are wanted.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl python3 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 megatts3 \
 && useradd --uid 10001 --gid 10001 --home-dir /app --no-create-home --shell /usr/sbin/nologin megatts3

FROM base AS packages
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/venv
# Before any source: this layer is made again only when the lock changes.
COPY requirements/server.lock /tmp/server.lock
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-compile --disable-pip-version-check --require-hashes -r /tmp/server.lock \
 && pip uninstall -y pip

FROM base
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="megatts3" \
      org.opencontainers.image.description="MegaTTS 3 speech synthesis: the whole service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY deploy/docker/megatts3 /usr/local/bin/megatts3
COPY deploy/docker/entrypoint.sh /usr/local/bin/entrypoint.sh
COPY LICENSE NOTICE pyproject.toml api_server.py ./
COPY configs/ configs/
COPY contract/ contract/
COPY monitor/ monitor/
COPY cli/ cli/
COPY megatts3_server/ megatts3_server/
COPY megatts3/ megatts3/
COPY worker/ worker/
RUN install -d -o megatts3 -g megatts3 /app/storage /app/logs /app/checkpoints
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    API_HOST=0.0.0.0 API_PORT=9000 MODEL_CACHE_DIR=/app/storage/cache VOICE_STORAGE_DIR=/app/storage/voices
EXPOSE 9000 9090
VOLUME ["/app/storage", "/app/logs"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=15s --start-period=120s --retries=3 \
    CMD ["curl", "-fsS", "-o", "/dev/null", "http://localhost:9000/health"]
ENTRYPOINT ["entrypoint.sh"]
CMD ["python", "api_server.py"]
