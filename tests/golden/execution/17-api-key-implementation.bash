# Header
Authorization: Bearer <api_key>

# Query Parameter
?v=1&api_key=<api_key>
