# Information extraction on a CPU. docs/installation.md shows how to run it.
FROM python:3.13.9-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/ie
ENV PATH=/opt/ie/bin:$PATH
WORKDIR /src
# A separate layer for the largest package: it is kept until a version in constraints.txt changes.
COPY constraints.txt ./
RUN pip install -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY ie_cli ie_cli
COPY recipes recipes
COPY data data
RUN pip install -c constraints.txt ".[onnx,serve,zstd]" \
    && pip uninstall --yes pip

FROM python:3.13.9-slim-bookworm
LABEL org.opencontainers.image.title="ie-cli" \
      org.opencontainers.image.description="Train, measure and run information-extraction models" \
      org.opencontainers.image.licenses="Apache-2.0"
# --user may be any user: the directories are writable for all users, like /tmp.
RUN useradd --uid 1000 --no-create-home --home-dir /cache ie \
    && install --directory --mode=1777 /cache /work
COPY --from=build /opt/ie /opt/ie
ENV PATH=/opt/ie/bin:$PATH \
    HOME=/cache \
    HF_HOME=/cache/huggingface \
    PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /work
# Most commands end by themselves. `ie serve` answers GET /health for an external health check.
HEALTHCHECK NONE
ENTRYPOINT ["ie"]
CMD ["--help"]
