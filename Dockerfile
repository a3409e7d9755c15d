# Build: docker build -t ocidav .
# Run:   docker run -p 127.0.0.1:8080:8080 -v ocidav-data:/data -v ocidav-cache:/cache ocidav
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags='-s -w' -o /out/ocidav . \
 && mkdir -p /out/data /out/cache

# Nothing but the program, the certificate authorities that it trusts, and the two directories of its user.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ocidav /ocidav
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/cache /cache
USER 65532:65532
# Who reaches a container is for docker run -p to say, as above. With OCIDAV_AUTH=htpasswd the second line is without effect.
ENV HOME=/data OCIDAV_LISTEN=:8080 OCIDAV_DATA=/data OCIDAV_CACHE_DIR=/cache \
    OCIDAV_AUTH=none OCIDAV_INSECURE_ANONYMOUS=true
VOLUME /data /cache
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=6s --start-period=5s CMD ["/ocidav", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/ocidav"]
CMD ["serve"]
