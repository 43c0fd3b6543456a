# Liveness probe
GET /healthz

# Readiness probe
GET /readyz

# Detailed health
GET /healthz/detail
