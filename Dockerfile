# Spillgate as a container: no root, nothing to write but /var/lib/spillgate, one process.
#   docker build --tag spillgate .
#   docker run --rm --read-only --publish 127.0.0.1:3000:3000 --env REDIS_URL --env SPILLGATE_TOKEN \
#     --volume ./spillgate.toml:/etc/spillgate/spillgate.toml:ro spillgate

ARG PYTHON=3.13

FROM python:${PYTHON}-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# Exactly what constraints.txt has, without what only development needs: `make lock` writes these two lists.
COPY deploy/requirements/ deploy/requirements/
RUN pip install --require-hashes --requirement deploy/requirements/build.txt \
 && python -m venv --without-pip /opt/spillgate \
 && pip --python /opt/spillgate/bin/python install --require-hashes --requirement deploy/requirements/run.txt

# The page before the rest, since it takes longest. Node comes from the list above, its packages from the lock beside them.
COPY hatch_build.py ./
COPY dashboard/ dashboard/
RUN mkdir -p src/spillgate/web && python hatch_build.py

COPY pyproject.toml README.md LICENSE ./
COPY examples/ceo-platform.toml examples/
COPY src/ src/
RUN pip wheel --no-build-isolation --no-deps --wheel-dir dist . \
 && pip --python /opt/spillgate/bin/python install --no-deps dist/*.whl

FROM python:${PYTHON}-slim-trixie
LABEL org.opencontainers.image.title="Spillgate" \
      org.opencontainers.image.description="Keeps a Redis or Valkey below its memory limit without losing what must not be lost" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 spillgate \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/spillgate --no-create-home --shell /usr/sbin/nologin spillgate \
 && install --directory --owner spillgate --group spillgate --mode 0750 /var/lib/spillgate
COPY --from=build /opt/spillgate /opt/spillgate
# The reference policy, to start from. Yours goes beside it, as spillgate.toml.
COPY examples/ceo-platform.toml /etc/spillgate/ceo-platform.toml
ENV PATH=/opt/spillgate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SPILLGATE_CONFIG=/etc/spillgate/spillgate.toml \
    SPILLGATE_HISTORY=/var/lib/spillgate/history.db
WORKDIR /var/lib/spillgate
VOLUME /var/lib/spillgate
USER 10001:10001
EXPOSE 3000
STOPSIGNAL SIGTERM
# Whether the governor's loop goes on. Not whether Redis is well: a restart of the governor would mend nothing.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
  CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 3000, timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["spillgate"]
# It refuses to listen there without SPILLGATE_TOKEN.
CMD ["run", "--host", "0.0.0.0"]
