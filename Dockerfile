# The `syncline` command in an image: every process of docker-compose.yml. It works on the database that DATABASE_URL names.
FROM python:3.12-slim-bookworm

ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 SYNCLINE_HOME=/var/lib/syncline
WORKDIR /srv/syncline

COPY requirements.lock ./
RUN pip install --root-user-action=ignore --require-hashes -r requirements.lock

COPY . .
RUN pip install --root-user-action=ignore --no-deps --no-build-isolation . \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/syncline syncline
USER syncline
VOLUME /var/lib/syncline

ENTRYPOINT ["syncline"]
CMD ["--help"]
