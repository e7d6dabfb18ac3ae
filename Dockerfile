# syntax=docker/dockerfile:1
# One image for every role; the command says which. `docker build --build-arg LOCK=llm .` adds the local language model.

FROM python:3.11-slim-bookworm AS build
ARG LOCK=runtime
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/atelier
COPY requirements/ requirements/
RUN /opt/atelier/bin/pip install --require-hashes -r "requirements/${LOCK}.txt" \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md ./
COPY platform/ platform/
COPY web/ web/
COPY tasks/ tasks/
COPY schedules/ schedules/
# sandbox/ stays away: payment gateways that anybody can tell to have been paid are nothing for production.
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /opt/wheels \
 && /opt/atelier/bin/pip install --no-deps /opt/wheels/atelier-*.whl

FROM python:3.11-slim-bookworm
# A font with Chinese characters for generated posters. The release of the base image fixes its version.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends fonts-wqy-zenhei \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 atelier \
 && useradd --system --uid 10001 --gid atelier --no-create-home --home-dir /data atelier \
 && install --directory --owner atelier --group atelier /data
COPY --from=build /opt/atelier /opt/atelier
ENV PATH=/opt/atelier/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    ATELIER_ENV=production \
    ATELIER_DATA_DIR=/data \
    ATELIER_HOST=0.0.0.0 \
    PORT=8000
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/api/health/ready', timeout=5)"]
CMD ["python", "-m", "web"]
