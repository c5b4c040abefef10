# The stock binary, and nothing else.
FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /omnibox ./cmd/omnibox

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /omnibox /usr/local/bin/omnibox
# Probes and Prometheus come from outside of the container.
ENV OMNIBOX_HTTP_LISTEN=:9464
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/omnibox"]
CMD ["worker"]
