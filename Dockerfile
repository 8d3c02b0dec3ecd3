# Two images from one build. The controller has nothing but itself and the C library; the Git writer
# has git and an ssh client, which the controller must not have.
#
#   docker build --target controller -t tidegate:0.1.0 .
#   docker build --target git-writer -t tidegate-git-writer:0.1.0 .

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin tidegate

FROM debian:bookworm-slim AS git-writer
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
    && rm -rf /var/lib/apt/lists/*
# ssh asks who it is: a user id without an entry is refused.
RUN groupadd --gid 65532 tidegate \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin tidegate
COPY --from=build /src/target/release/tidegate /usr/local/bin/tidegate
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/tidegate"]
CMD ["git-writer"]

FROM gcr.io/distroless/cc-debian12:nonroot AS controller
COPY --from=build /src/target/release/tidegate /usr/local/bin/tidegate
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/tidegate"]
CMD ["controller"]
