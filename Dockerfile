# syntax=docker/dockerfile:1
# Both binaries in one small image that runs as nobody in particular.
#   docker build -t talksy .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges \
#     -p 4000:4000 -v talksy:/data -e TALKSY_SMTP_URL=smtps://… talksy   the server, embedded default
#   docker run --entrypoint talksy-mail-worker talksy --help             the mail worker
# To try it out without a mail server: -e TALKSY_MAIL__OUTBOX=true writes mails to /data/outbox.
#
# The base images are pinned to exact versions; the last one has no versions but digests: build with
#   --build-arg RUNTIME=gcr.io/distroless/cc-debian12:nonroot@sha256:…
# for the same one each time.

ARG RUNTIME=gcr.io/distroless/cc-debian12:nonroot

FROM node:22.12.0-bookworm-slim AS graphiql
WORKDIR /src/client-examples/graphiql
COPY client-examples/graphiql/package.json client-examples/graphiql/package-lock.json client-examples/graphiql/.npmrc ./
RUN npm ci --no-fund --no-audit
COPY client-examples/graphiql/ ./
RUN npm run build

# The web chat is made of what it has in common with the examples, too.
FROM node:22.12.0-bookworm-slim AS web
WORKDIR /src/client-examples/web
COPY client-examples/web/package.json client-examples/web/package-lock.json client-examples/web/.npmrc ./
RUN npm ci --no-fund --no-audit
COPY schema/schema.graphql /src/schema/schema.graphql
COPY client-examples/shared/ /src/client-examples/shared/
COPY client-examples/documents/ /src/client-examples/documents/
COPY client-examples/web/ ./
RUN npm run build

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY schema/ schema/
COPY server/ server/
COPY mail-worker/ mail-worker/
COPY tests/ tests/
COPY client-examples/web/policy.txt client-examples/web/policy.txt
COPY --from=graphiql /src/client-examples/graphiql/dist/ client-examples/graphiql/dist/
COPY --from=web /src/client-examples/web/dist/packed/ client-examples/web/dist/packed/
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin talksy --bin talksy-mail-worker \
    && install -D -t /out target/release/talksy target/release/talksy-mail-worker \
    && install -d -m 0700 /data

# hadolint ignore=DL3006
FROM ${RUNTIME}
COPY --from=build /out/talksy /out/talksy-mail-worker /usr/local/bin/
COPY --from=build --chown=nonroot:nonroot /data /data
ENV TALKSY_LISTEN=0.0.0.0:4000 \
    TALKSY_DATA_DIR=/data
VOLUME /data
# Whoever `nonroot` is: orchestrators want the number.
USER 65532:65532
EXPOSE 4000
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s CMD ["/usr/local/bin/talksy", "health"]
ENTRYPOINT ["/usr/local/bin/talksy"]
