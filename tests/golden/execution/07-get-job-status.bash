GET /v1/jobs/{job_id}
