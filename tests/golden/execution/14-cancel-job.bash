DELETE /v1/admin/jobs/{job_id}
