FROM golang:1.19-alpine AS builder
# Build steps

FROM alpine:latest
# Runtime setup
COPY --from=builder /app/forgeai /forgeai
ENTRYPOINT ["/forgeai", "api"]
