# Stream job events
GET /v1/jobs/{job_id}/events
Accept: text/event-stream
