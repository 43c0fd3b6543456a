GET /v1/admin/jobs
