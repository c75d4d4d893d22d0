# One image for every part: `onemec cse`, `onemec mep`, `onemec adapter`, `onemec devices`, and the example application.

FROM python:3.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/onemec
WORKDIR /src
# the tools that build are locked with hashes too; they stay in this stage
COPY requirements.lock ./
RUN python -m venv /opt/tools && /opt/tools/bin/pip install --quiet --require-hashes -r requirements.lock
COPY pyproject.toml uv.lock ./
RUN /opt/tools/bin/uv sync --quiet --frozen --no-dev --extra postgresql --extra otel --no-install-project --compile-bytecode
COPY README.md LICENSE ./
COPY cse ./cse
COPY mec_adapter ./mec_adapter
COPY devices ./devices
COPY onemec ./onemec
RUN /opt/tools/bin/hatchling build --target wheel --directory /tmp/wheel \
    && /opt/tools/bin/uv pip install --quiet --python /opt/onemec/bin/python --no-deps --compile-bytecode /tmp/wheel/*.whl

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="onemec" \
      org.opencontainers.image.description="oneM2M meets MEC: an edge IoT interworking stack" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin onemec \
    && install --directory --owner=onemec --group=onemec /data
COPY --from=build /opt/onemec /opt/onemec
COPY docker/healthcheck.py /opt/onemec/healthcheck.py
COPY examples /opt/onemec/examples
ENV PATH=/opt/onemec/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# whatever a part keeps, it keeps below its working directory, which is the volume
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 8080/tcp 5683/udp
STOPSIGNAL SIGTERM
# for the default command; compose.yaml gives every service its own
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "/opt/onemec/healthcheck.py", "http://127.0.0.1:8080/cse-in"]
ENTRYPOINT ["onemec"]
CMD ["cse", "--http", "0.0.0.0:8080", "--store", "sqlite:////data/cse.db", "--insecure-dev", "--admin", "CAdmin"]
