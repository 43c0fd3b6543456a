GET /v1/languages
