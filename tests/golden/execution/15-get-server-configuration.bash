GET /v1/admin/config
