POST /v1/execute/file
