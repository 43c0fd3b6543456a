GET /v1/status
