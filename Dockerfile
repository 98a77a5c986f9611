# The image of Gavel: one binary on glibc, no shell, no package manager, not root.
#   docker build -t gavel:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches outlive the layer; the binary must therefore be copied out of the target directory.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p gavel \
    && cp target/release/gavel /gavel

# The same Debian release as the builder, so that glibc is never older than the one linked against.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /gavel /usr/local/bin/gavel
USER 65532:65532
# Data plane: 8080 clients, 8090 relay. Control plane: 7000 HTTP, 7001 gRPC.
EXPOSE 8080 8090 7000 7001
ENTRYPOINT ["/usr/local/bin/gavel"]
CMD ["--help"]
