PUT /v1/admin/config
