POST /v1/execute
