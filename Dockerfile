# syntax=docker/dockerfile:1
# Build: docker build -t plexus-proxy .     Run: see docs/INSTALLATION.md
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && python -m venv --without-pip /opt/plexus \
 && python -m pip --python /opt/plexus/bin/python install --no-cache-dir --only-binary :all: \
        --require-hashes -r requirements/runtime.txt
COPY . .
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
 && python -m pip --python /opt/plexus/bin/python install --no-index --no-deps /wheel/*.whl

FROM python:3.11-slim
COPY --from=build /opt/plexus /opt/plexus
# Any UID may run this image, also with a read-only root: only /app/data has to be writable.
# Group 0 is what platforms with arbitrary UIDs use (OpenShift).
RUN mkdir -p /app/config /app/data \
 && chown -R 10001:0 /app \
 && chmod -R u=rwX,g=rwX,o=rX /app
WORKDIR /app
ENV PATH=/opt/plexus/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/app/data
USER 10001:0
EXPOSE 4000
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s CMD ["python", "-I", "-S", "-c", \
    "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\") or 4000}/healthz', timeout=2)"]
ENTRYPOINT ["plexus-proxy"]
CMD ["serve"]
