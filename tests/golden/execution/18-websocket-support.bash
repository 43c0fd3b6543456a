# Connect to job stream
GET /v1/jobs/{job_id}/stream
Upgrade: websocket
